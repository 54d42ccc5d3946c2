import { FIRST_SOURCES, GROWTH, MAX_SOURCES, MORE_SOURCES, STEP_MS } from './constants.ts';
import type { OwnLink } from './own-link.ts';

/**
 * How many sources a body may have: four, and then more as long as each step brings more to this
 * host. When the first ones bring no more than the one before, the link is noted as full.
 */
export class SourceCount {
  readonly #link: OwnLink;
  readonly #now: () => number;
  #rate: number;
  #stepAt = Number.POSITIVE_INFINITY;
  allowed = FIRST_SOURCES;

  /** `now` is a monotonic clock in milliseconds; tests give their own. */
  constructor(link: OwnLink, now: () => number = () => performance.now()) {
    this.#link = link;
    this.#now = now;
    this.#rate = link.rate;
  }

  /** The first sources give bytes. */
  begin(): void {
    this.#stepAt = this.#now() + STEP_MS;
  }

  /**
   * To be called again and again while a body has `count` sources. True once: the last ones brought
   * nothing.
   */
  measure(count: number): boolean {
    if (this.#now() < this.#stepAt) return false;
    const { rate } = this.#link;
    const isGrown = rate >= this.#rate * GROWTH;
    if (!isGrown && this.allowed === FIRST_SOURCES) this.#link.noteFull(Math.max(rate, this.#rate));
    const isDone = !isGrown || count < this.allowed || this.allowed === MAX_SOURCES;
    this.#stepAt = isDone ? Number.POSITIVE_INFINITY : this.#now() + STEP_MS;
    this.#rate = rate;
    if (!isDone) this.allowed = Math.min(this.allowed + MORE_SOURCES, MAX_SOURCES);
    return !isGrown;
  }
}
