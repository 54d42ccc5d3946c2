import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerProtocol } from '../routing/peer-protocol.ts';
import type { SourceAnswer } from './assignment.ts';
import {
  MAX_ASKED_TRACKERS,
  MAX_CONSIDERED_TRACKERS,
  SILENT_TRACKER_MS,
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

/**
 * A timer. Before it fires, answers that came while this process's event loop was busy are read.
 * Returns a function that stops it.
 */
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

/** A tracker's answer, and which tracker gave it. */
export interface TrackerAnswer {
  readonly tracker: string;
  readonly answer: SourceAnswer;
}

/** A tracker that is asked. */
export interface AskedTracker {
  readonly peer: string;
  /** It did not answer lately: it is asked beside the next one, and waited for only a moment. */
  readonly isSilent: boolean;
}

/**
 * One question to the trackers of a digest: the closest first, and the next one when that fails or
 * is silent for a hedge. An answer counts once all closer trackers have failed, a `follow` also
 * after one more hedge. The next closest knows only what was reported a second ago, or nothing yet:
 * without this rule it would send all hosts that wait for a busy tracker to one source, or to the
 * upstream.
 */
export class TrackerRound {
  /** Resolves with the answer that counts; undefined: no tracker answered. */
  readonly answer: Promise<TrackerAnswer | undefined>;
  readonly #trackers: readonly AskedTracker[];
  readonly #hedgeMs: number;
  readonly #ask: (tracker: string) => Promise<SourceAnswer | undefined>;
  readonly #resolve: (answer: TrackerAnswer | undefined) => void;
  /** The places in the list of the trackers that have not answered yet. */
  readonly #waiting = new Set<number>();
  #next = 0;
  /** The answer that counts unless a closer tracker says otherwise. */
  #best: { readonly heard: TrackerAnswer; readonly place: number } | undefined;
  /** Before the first answer: until the next tracker is asked. Then: until a `follow` counts. */
  #hedge: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #isSilenceOver = false;
  #isOver = false;

  /** Begins at once. `ask` never rejects; undefined is a failure. */
  constructor(
    trackers: readonly AskedTracker[],
    hedgeMs: number,
    ask: (tracker: string) => Promise<SourceAnswer | undefined>,
  ) {
    const { promise, resolve } = Promise.withResolvers<TrackerAnswer | undefined>();
    this.answer = promise;
    this.#resolve = resolve;
    this.#trackers = trackers;
    this.#hedgeMs = hedgeMs;
    this.#ask = ask;
    this.#advance();
  }

  /** Stops waiting; the best answer so far counts. */
  end(answer = this.#best?.heard): void {
    this.#isOver = true;
    clearTimeout(this.#hedge);
    clearTimeout(this.#silence);
    this.#resolve(answer);
  }

  #advance(): void {
    clearTimeout(this.#hedge);
    const place = this.#next++;
    const tracker = this.#trackers[place];
    if (tracker === undefined) {
      if (this.#waiting.size === 0) this.end();
      return;
    }
    const { peer, isSilent } = tracker;
    this.#waiting.add(place);
    if (isSilent) this.#silence ??= setTimeout(() => this.#leaveSilent(), SILENT_TRACKER_MS);
    else this.#hedge = setTimeout(() => this.#advance(), this.#hedgeMs);
    void this.#ask(peer).then((answer) => this.#answered(place, peer, answer));
    if (isSilent) this.#advance();
  }

  /** From now on trackers that were silent before do not hold up an answer. */
  #leaveSilent(): void {
    this.#isSilenceOver = true;
    if (this.#best !== undefined) this.#settle(this.#best.place);
  }

  #answered(place: number, tracker: string, answer: SourceAnswer | undefined): void {
    this.#waiting.delete(place);
    if (this.#isOver) return;
    if (answer !== undefined) this.#heard({ tracker, answer }, place);
    else if (this.#best === undefined) this.#advance();
    else this.#settle(this.#best.place);
  }

  #heard(heard: TrackerAnswer, place: number): void {
    clearTimeout(this.#hedge);
    if (this.#best === undefined || place < this.#best.place) this.#best = { heard, place };
    if (this.#best.heard.answer.role === 'follow')
      this.#hedge = setTimeout(() => this.end(), this.#hedgeMs);
    this.#settle(this.#best.place);
  }

  /** Ends the round unless a tracker before this place may still answer. */
  #settle(place: number): void {
    const isAwaited = (other: number) =>
      other < place && !(this.#isSilenceOver && this.#trackers[other]?.isSilent);
    if (![...this.#waiting].some(isAwaited)) this.end();
  }
}
