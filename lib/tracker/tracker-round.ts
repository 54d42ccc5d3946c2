import { fairTimeout } from '../base/fair-timeout.ts';
import type { SourceAnswer } from './assignment.ts';
import { SILENT_TRACKER_MS } from './constants.ts';

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
  #stopHedge = () => {};
  #stopSilence: (() => void) | undefined;
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
    this.#stopHedge();
    this.#stopSilence?.();
    this.#resolve(answer);
  }

  #advance(): void {
    this.#stopHedge();
    const place = this.#next++;
    const tracker = this.#trackers[place];
    if (tracker === undefined) {
      if (this.#waiting.size === 0) this.end();
      return;
    }
    const { peer, isSilent } = tracker;
    this.#waiting.add(place);
    if (isSilent) this.#stopSilence ??= fairTimeout(SILENT_TRACKER_MS, () => this.#leaveSilent());
    else this.#stopHedge = fairTimeout(this.#hedgeMs, () => this.#advance());
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
    this.#stopHedge();
    if (this.#best === undefined || place < this.#best.place) this.#best = { heard, place };
    if (this.#best.heard.answer.role === 'follow')
      this.#stopHedge = fairTimeout(this.#hedgeMs, () => this.end());
    this.#settle(this.#best.place);
  }

  /** Ends the round unless a tracker before this place may still answer. */
  #settle(place: number): void {
    const isAwaited = (other: number) =>
      other < place && !(this.#isSilenceOver && this.#trackers[other]?.isSilent);
    if (![...this.#waiting].some(isAwaited)) this.end();
  }
}
