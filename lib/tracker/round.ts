import type { SourceAnswer } from './assignment.ts';

/** A tracker's answer, and whose it is. */
export interface TrackerAnswer {
  readonly tracker: string;
  readonly answer: SourceAnswer;
}

/** A tracker that is asked. */
export interface AskedTracker {
  readonly peer: string;
  /** It did not answer lately: it is asked beside the next one, and hardly waited for. */
  readonly isSilent: boolean;
}

/** An answer takes some ms; a silent one that is back gets as long, so that it counts before a `lead` of the next. */
const SILENT_MS = 30;

/**
 * One question to the trackers of a digest: the closest first, the next one when that fails or is silent for a
 * hedge. What one of them says counts once all that are closer have failed: the next closest knows what was reported a
 * second ago, or nothing yet, and would send to one source, or to the upstream, all whom a busy tracker keeps
 * waiting. A `follow` counts after one more hedge, a `lead` at the end.
 */
export class TrackerRound {
  /** Resolves with what counts, undefined when nobody answered. */
  readonly word: Promise<TrackerAnswer | undefined>;
  readonly #trackers: readonly AskedTracker[];
  readonly #hedgeMs: number;
  readonly #ask: (tracker: string) => Promise<SourceAnswer | undefined>;
  readonly #resolve: (word: TrackerAnswer | undefined) => void;
  /** Places in the list of those that have not answered yet. */
  readonly #waiting = new Set<number>();
  #next = 0;
  /** What counts unless somebody closer says otherwise. */
  #best: { readonly word: TrackerAnswer; readonly place: number } | undefined;
  /** Before a word has come: to the next question. After it: how long a `follow` may be held up. */
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
    this.word = promise;
    this.#resolve = resolve;
    this.#trackers = trackers;
    this.#hedgeMs = hedgeMs;
    this.#ask = ask;
    this.#advance();
  }

  /** Nobody is waited for any longer. */
  end(word = this.#best?.word): void {
    this.#isOver = true;
    clearTimeout(this.#hedge);
    clearTimeout(this.#silence);
    this.#resolve(word);
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
    if (isSilent) this.#silence ??= setTimeout(() => this.#leaveSilent(), SILENT_MS);
    else this.#hedge = setTimeout(() => this.#advance(), this.#hedgeMs);
    void this.#ask(peer).then((answer) => this.#answered(place, peer, answer));
    if (isSilent) this.#advance();
  }

  /** From now on those that were silent before do not hold up a `lead`. */
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

  #heard(word: TrackerAnswer, place: number): void {
    clearTimeout(this.#hedge);
    if (this.#best === undefined || place < this.#best.place) this.#best = { word, place };
    if (this.#best.word.answer.role === 'follow')
      this.#hedge = setTimeout(() => this.end(), this.#hedgeMs);
    this.#settle(this.#best.place);
  }

  /** Ends the round unless somebody closer than this one may still answer. */
  #settle(place: number): void {
    const isAwaited = (other: number) =>
      other < place && !(this.#isSilenceOver && this.#trackers[other]?.isSilent);
    if (![...this.#waiting].some(isAwaited)) this.end();
  }
}
