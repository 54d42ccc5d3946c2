import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerProtocol } from '../routing/peer-protocol.ts';
import type { SourceAnswer } from './assignment.ts';
import {
  decodeAnswer,
  decodeReceipt,
  encodeTrackerMessage,
  type Receipt,
  type TrackerMessage,
} from './protocol.ts';
import { type AskedTracker, type TrackerAnswer, TrackerRound } from './round.ts';
import type { Tracker } from './tracker.ts';
import type { TrackerHealth } from './tracker-health.ts';

export interface TrackersParts {
  readonly log: Logger;
  readonly protocol: Pick<PeerProtocol, 'peerId' | 'closest' | 'ask'>;
  /** This node's own, for the digests that it is closest to itself. */
  readonly tracker: Pick<Tracker, 'handle'>;
  readonly trust: TrackerHealth;
  readonly now: () => number;
}

/** How many are asked at most: half of a fleet may just have been cut off, and be the closest four times in a row. */
const MAX_ASKED = 5;
/** Passed-over ones among the closest must not leave nobody to ask. */
const MAX_LOOKED_AT = 10;
/** Without an answer for so long the next closest is asked as well. */
const HEDGE_MS = 100;
/** Nobody waits for the answer to a report, but the next tracker for the report. */
const TELL_MS = 500;

/** Asks and tells the trackers of a digest: the closest live one, and those behind it when that one fails. */
export class Trackers {
  readonly #parts: TrackersParts;
  readonly #resolveTimeoutMs: number;
  readonly #stop = new AbortController();

  constructor(parts: TrackersParts, resolveTimeoutMs: number) {
    this.#parts = parts;
    this.#resolveTimeoutMs = resolveTimeoutMs;
  }

  stop(): void {
    this.#stop.abort(new Error('stopped'));
  }

  /** Whom to tell about a digest, best first; those that are passed over or silent left out. */
  of(digest: Digest): string[] {
    return this.#closest(digest).flatMap(({ peer, isSilent }) => (isSilent ? [] : [peer]));
  }

  /** A few that answer, and the silent ones that are closer than one of these. */
  #closest(digest: Digest): AskedTracker[] {
    const { protocol, trust, now } = this.#parts;
    const asked: AskedTracker[] = [];
    let answering = 0;
    for (const peer of protocol.closest(digest, MAX_LOOKED_AT)) {
      if (trust.isPassedOver(peer, now())) continue;
      const isSilent = trust.isSilent(peer, now());
      asked.push({ peer, isSilent });
      answering += isSilent ? 0 : 1;
      if (answering === MAX_ASKED) break;
    }
    return asked;
  }

  /**
   * The first answer of a digest's trackers within the resolve timeout, or undefined. Never rejects. A tracker
   * that is slower than the hedge is still waited for in the background: its silence is to be remembered.
   */
  async ask(
    question: TrackerMessage & { readonly type: 'ask' },
    signal: AbortSignal,
  ): Promise<TrackerAnswer | undefined> {
    const trackers = this.#closest(question.digest);
    const timeoutMs = this.#resolveTimeoutMs;
    const ended = AbortSignal.any([signal, this.#stop.signal]);
    const round = new TrackerRound(trackers, Math.min(HEDGE_MS, timeoutMs / 2), (tracker) =>
      this.#exchange(tracker, question, decodeAnswer, timeoutMs),
    );
    const undo = fairTimeout(timeoutMs, () => round.end());
    const onAbort = () => round.end();
    ended.addEventListener('abort', onAbort, { once: true });
    if (ended.aborted) round.end();
    try {
      return await round.word;
    } finally {
      undo();
      ended.removeEventListener('abort', onAbort);
    }
  }

  /** Tells one tracker; undefined when it did not take it. Never rejects. */
  tell(tracker: string, message: TrackerMessage): Promise<Receipt | undefined> {
    return this.#exchange(tracker, message, decodeReceipt, TELL_MS);
  }

  async #exchange<T extends SourceAnswer | Receipt>(
    tracker: string,
    message: TrackerMessage,
    decode: (bytes: Uint8Array) => T,
    timeoutMs: number,
  ): Promise<T | undefined> {
    const { log, protocol, trust, now } = this.#parts;
    const began = now();
    const late = new AbortController();
    const undo = fairTimeout(timeoutMs, () => late.abort(new Error('no answer in time')));
    try {
      // Through the codec as well: so nothing works on this node that fails between two.
      if (tracker === protocol.peerId)
        return decode(encodeTrackerMessage(this.#parts.tracker.handle(tracker, message)));
      const signal = AbortSignal.any([this.#stop.signal, late.signal]);
      const answer = decode(await protocol.ask(tracker, encodeTrackerMessage(message), signal));
      trust.answered(tracker);
      return answer;
    } catch (error) {
      if (this.#stop.signal.aborted) return undefined;
      trust.wasSilent(tracker, began, now());
      log.debug('tracker failed', { tracker, message: message.type, error: messageOf(error) });
      return undefined;
    } finally {
      undo();
    }
  }
}

/** An answer that came while our own event loop was busy is read before the timer is believed. Returns how to undo it. */
function fairTimeout(ms: number, onTimeout: () => void): () => void {
  let immediate: NodeJS.Immediate | undefined;
  const timer = setTimeout(() => {
    immediate = setImmediate(onTimeout);
  }, ms);
  return () => {
    clearTimeout(timer);
    clearImmediate(immediate);
  };
}
