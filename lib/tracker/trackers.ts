import { messageOf } from '../base/errors.ts';
import { fairTimeout } from '../base/fair-timeout.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerProtocol } from '../routing/peer-protocol.ts';
import type { SourceAnswer } from './assignment.ts';
import {
  MAX_ASKED_TRACKERS,
  MAX_CONSIDERED_TRACKERS,
  TELL_MS,
  TRACKER_HEDGE_MS,
} from './constants.ts';
import {
  decodeAnswer,
  decodeReceipt,
  encodeTrackerMessage,
  type Receipt,
  type TrackerMessage,
} from './protocol.ts';
import type { Tracker } from './tracker.ts';
import type { TrackerHealth } from './tracker-health.ts';
import { type AskedTracker, type TrackerAnswer, TrackerRound } from './tracker-round.ts';

export interface TrackersParts {
  readonly log: Logger;
  readonly protocol: Pick<PeerProtocol, 'peerId' | 'closest' | 'ask'>;
  /** This node's own, for the digests that this node is closest to. */
  readonly tracker: Pick<Tracker, 'handle'>;
  readonly health: TrackerHealth;
  readonly now: () => number;
}

/** Asks and tells a digest's trackers: the closest live one, and the next ones when that fails. */
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

  /**
   * The trackers to tell about a digest, best first, without those that are passed over or silent.
   */
  of(digest: Digest): string[] {
    return this.#closest(digest).flatMap(({ peer, isSilent }) => (isSilent ? [] : [peer]));
  }

  /** The closest trackers that answer, and the silent ones that are closer than one of these. */
  #closest(digest: Digest): AskedTracker[] {
    const { protocol, health, now } = this.#parts;
    const asked: AskedTracker[] = [];
    let answering = 0;
    for (const peer of protocol.closest(digest, MAX_CONSIDERED_TRACKERS)) {
      if (health.isPassedOver(peer, now())) continue;
      const isSilent = health.isSilent(peer, now());
      asked.push({ peer, isSilent });
      answering += isSilent ? 0 : 1;
      if (answering === MAX_ASKED_TRACKERS) break;
    }
    return asked;
  }

  /**
   * Asks a digest's trackers. Resolves within the resolve timeout; undefined: none answered. Never
   * rejects. A tracker that is slower than the hedge is still waited for in the background, so that
   * its silence is remembered.
   */
  async ask(
    question: TrackerMessage & { readonly type: 'ask' },
    signal: AbortSignal,
  ): Promise<TrackerAnswer | undefined> {
    const trackers = this.#closest(question.digest);
    const timeoutMs = this.#resolveTimeoutMs;
    const ended = AbortSignal.any([signal, this.#stop.signal]);
    const round = new TrackerRound(trackers, Math.min(TRACKER_HEDGE_MS, timeoutMs / 2), (tracker) =>
      this.#exchange(tracker, question, decodeAnswer, timeoutMs),
    );
    const undo = fairTimeout(timeoutMs, () => round.end());
    const onAbort = () => round.end();
    ended.addEventListener('abort', onAbort, { once: true });
    if (ended.aborted) round.end();
    try {
      return await round.answer;
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
    const { log, protocol, health, now } = this.#parts;
    const began = now();
    const late = new AbortController();
    const undo = fairTimeout(timeoutMs, () => late.abort(new Error('no answer in time')));
    try {
      // Through the codec, so that what fails between two nodes fails on one as well.
      if (tracker === protocol.peerId)
        return decode(encodeTrackerMessage(this.#parts.tracker.handle(tracker, message)));
      const signal = AbortSignal.any([this.#stop.signal, late.signal]);
      const answer = decode(await protocol.ask(tracker, encodeTrackerMessage(message), signal));
      health.answered(tracker);
      return answer;
    } catch (error) {
      if (this.#stop.signal.aborted) return undefined;
      health.wasSilent(tracker, began, now());
      log.debug('tracker failed', { tracker, message: message.type, error: messageOf(error) });
      return undefined;
    } finally {
      undo();
    }
  }
}
