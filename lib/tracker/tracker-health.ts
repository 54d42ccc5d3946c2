import { BoundedMap } from '../base/bounded-map.ts';
import {
  MAX_TRACKERS,
  PASSED_OVER_MS,
  STRIKE_MEMORY_MS,
  STRIKES_TO_PASS_OVER,
} from './constants.ts';

interface Strikes {
  /** Questions in a row without an answer, or with garbage for one. */
  silences: number;
  /** Answers in a row that failed: all sources that it named failed at once. */
  failedAnswers: number;
  /** When the last strike was counted. */
  countedAt: number;
  /** Until when it counts as silent, and until when it is passed over for its answers. */
  readonly until: Record<StrikeKind, number>;
}

type StrikeKind = 'silences' | 'failedAnswers';

/**
 * Which trackers are left out for a while, because they failed twice in a row or were found dead. A
 * tracker that gave bad answers is passed over: the next closest is asked in its place. One that
 * was silent is asked beside the next one, and counts again at its first answer: hosts that
 * disagree about which node tracks a digest each fetch a copy of it. Bounded.
 */
export class TrackerHealth {
  readonly #strikes = new BoundedMap<string, Strikes>(MAX_TRACKERS);

  /** Its answers failed: it is not asked. */
  isPassedOver(tracker: string, now: number): boolean {
    return (this.#strikes.get(tracker)?.until.failedAnswers ?? 0) > now;
  }

  /** It was silent: it is not waited for. */
  isSilent(tracker: string, now: number): boolean {
    return (this.#strikes.get(tracker)?.until.silences ?? 0) > now;
  }

  answered(tracker: string): void {
    this.#clear(tracker, 'silences');
  }

  /** A request for something else found it dead. */
  foundDead(tracker: string, now: number): void {
    const strikes = this.#entry(tracker, now);
    strikes.countedAt = now;
    strikes.until.silences = now + PASSED_OVER_MS;
  }

  /** It did not answer a question of the time `began`, or answered with garbage. */
  wasSilent(tracker: string, began: number, now: number): void {
    this.#strike(tracker, 'silences', began, now);
  }

  answerWasGood(tracker: string): void {
    this.#clear(tracker, 'failedAnswers');
  }

  /** All sources that it named at the time `began` failed at once. */
  answerFailed(tracker: string, began: number, now: number): void {
    this.#strike(tracker, 'failedAnswers', began, now);
  }

  #strike(tracker: string, kind: StrikeKind, began: number, now: number): void {
    const known = this.#strikes.get(tracker);
    // Four layers that were asked for at once and failed at once are one failure.
    if (known !== undefined && began < known.countedAt) return;
    const strikes = this.#entry(tracker, now);
    strikes[kind]++;
    strikes.countedAt = now;
    if (strikes[kind] < STRIKES_TO_PASS_OVER) return;
    strikes[kind] = 0;
    strikes.until[kind] = now + PASSED_OVER_MS;
  }

  /** The tracker's strikes, as the newest entry. */
  #entry(tracker: string, now: number): Strikes {
    const known = this.#strikes.get(tracker);
    const isFresh = known !== undefined && known.countedAt + STRIKE_MEMORY_MS > now;
    const until = { silences: 0, failedAnswers: 0 };
    const strikes = isFresh ? known : { silences: 0, failedAnswers: 0, countedAt: 0, until };
    this.#strikes.set(tracker, strikes);
    return strikes;
  }

  #clear(tracker: string, kind: StrikeKind): void {
    const strikes = this.#strikes.get(tracker);
    if (strikes === undefined) return;
    strikes[kind] = 0;
    strikes.until[kind] = 0;
  }
}
