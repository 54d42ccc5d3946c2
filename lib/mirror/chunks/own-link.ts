import { FULL_LINK_MEMORY_MS, FULL_SHARE } from './constants.ts';
import { Progress } from './progress.ts';

/** What comes from all peers together over this host's link, and whether that is all it carries. */
export class OwnLink {
  readonly #now: () => number;
  readonly #progress: Progress;
  #full: { readonly rate: number; readonly until: number } | undefined;

  /** `now` is a monotonic clock in milliseconds; tests give their own. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#progress = new Progress(undefined, now);
    this.#progress.begin();
  }

  add(bytes: number): void {
    this.#progress.add(bytes);
  }

  /** Of the last moments, in bytes per millisecond. */
  get rate(): number {
    return this.#progress.rate() ?? 0;
  }

  /** A further source would take from the others. */
  get isFull(): boolean {
    const full = this.#full;
    return full !== undefined && this.#now() < full.until && this.rate >= full.rate * FULL_SHARE;
  }

  /** More sources gave no more than this, in bytes per millisecond. */
  noteFull(rate: number): void {
    this.#full = { rate, until: this.#now() + FULL_LINK_MEMORY_MS };
  }
}
