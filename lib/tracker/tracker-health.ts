import { BoundedMap } from '../base/bounded-map.ts';

interface Strikes {
  /** In a row, without an answer or with garbage. */
  silences: number;
  /** Words that failed in a row: everybody that it named failed at once. */
  words: number;
  /** When the last strike was counted. */
  counted: number;
  /** Until when it counts as silent, and until when as one whose word fails. */
  readonly until: Record<Kind, number>;
}

type Kind = 'silences' | 'words';

const STRIKES = 2;
const PASSED_OVER_MS = 30_000;
/** A strike that is older was another trouble. */
const FORGOTTEN_MS = 60_000;
const MAX_TRACKERS = 1_000;

/**
 * Trackers that failed twice, or were found dead, are passed over for a while: the next closest is asked in their place. One that was
 * silent is still asked along, and back at its first answer: hosts that disagree about who tracks a digest each
 * fetch a copy of it. Bounded.
 */
export class TrackerHealth {
  readonly #strikes = new BoundedMap<string, Strikes>(MAX_TRACKERS);

  /** Its word failed: it is not asked. */
  isPassedOver(tracker: string, now: number): boolean {
    return (this.#strikes.get(tracker)?.until.words ?? 0) > now;
  }

  /** It was silent: it is not waited for. */
  isSilent(tracker: string, now: number): boolean {
    return (this.#strikes.get(tracker)?.until.silences ?? 0) > now;
  }

  answered(tracker: string): void {
    this.#clear(tracker, 'silences');
  }

  /** Found dead by somebody who asked it for something else. */
  foundDead(tracker: string, now: number): void {
    const strikes = this.#entry(tracker, now);
    strikes.counted = now;
    strikes.until.silences = now + PASSED_OVER_MS;
  }

  /** It did not answer, or with garbage, what it was asked at `began`. */
  wasSilent(tracker: string, began: number, now: number): void {
    this.#strike(tracker, 'silences', began, now);
  }

  wordWasKept(tracker: string): void {
    this.#clear(tracker, 'words');
  }

  /** Everybody that it named at `began` failed at once. */
  wordFailed(tracker: string, began: number, now: number): void {
    this.#strike(tracker, 'words', began, now);
  }

  #strike(tracker: string, kind: Kind, began: number, now: number): void {
    const known = this.#strikes.get(tracker);
    // Four layers that were asked for at once and failed at once are one pause, not four.
    if (known !== undefined && began < known.counted) return;
    const strikes = this.#entry(tracker, now);
    strikes[kind]++;
    strikes.counted = now;
    if (strikes[kind] < STRIKES) return;
    strikes[kind] = 0;
    strikes.until[kind] = now + PASSED_OVER_MS;
  }

  /** What is known against it, as the newest entry. */
  #entry(tracker: string, now: number): Strikes {
    const known = this.#strikes.get(tracker);
    const isFresh = known !== undefined && known.counted + FORGOTTEN_MS > now;
    const until = { silences: 0, words: 0 };
    const strikes = isFresh ? known : { silences: 0, words: 0, counted: 0, until };
    this.#strikes.set(tracker, strikes);
    return strikes;
  }

  #clear(tracker: string, kind: Kind): void {
    const strikes = this.#strikes.get(tracker);
    if (strikes === undefined) return;
    strikes[kind] = 0;
    strikes.until[kind] = 0;
  }
}
