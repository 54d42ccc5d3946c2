import { ExpiringMap } from '../base/expiring-map.ts';
import {
  DOWNLOAD_WINDOW_MS,
  KNOWN_RATE_MS,
  MAX_UPSTREAM_RATES,
  MIN_DOWNLOAD_SPAN_MS,
  MIN_RATED_BYTES,
  NEWEST_WINDOW_PART,
  UPSTREAM_WINDOW_MS,
} from './constants.ts';

/** How fast all content together came to this host lately, from peers and from the upstream. */
export class DownloadRate {
  readonly #marks: { readonly at: number; readonly bytes: number }[] = [];
  #best = { rate: 0, at: Number.NEGATIVE_INFINITY };

  grew(bytes: number, at: number): void {
    this.#marks.push({ at, bytes });
    const rate = this.get(at);
    if (rate >= this.best(at)) this.#best = { rate, at };
  }

  /** The most of the last hour, in bytes per second: this host's link is known to carry it. */
  best(now: number): number {
    return this.#best.at + KNOWN_RATE_MS > now ? this.#best.rate : 0;
  }

  /** In bytes per second, over the window or since the first byte in it. */
  get(now: number): number {
    this.#forget(now);
    const sinceMs = Math.max(MIN_DOWNLOAD_SPAN_MS, now - (this.#marks[0]?.at ?? now));
    const bytes = this.#marks.reduce((sum, mark) => sum + mark.bytes, 0);
    return (bytes * 1_000) / sinceMs;
  }

  #forget(now: number): void {
    while ((this.#marks[0]?.at ?? now) < now - DOWNLOAD_WINDOW_MS) this.#marks.shift();
  }
}

/** How many bytes a download had, and when. */
export interface Mark {
  readonly have: number;
  readonly at: number;
}

/**
 * How fast one download from each upstream came to this host lately, measured while it led. Two
 * registries have nothing in common: what a near one gives says nothing of a far one.
 */
export class UpstreamRates {
  readonly #rates: ExpiringMap<number>;

  /** `now` is a monotonic clock in milliseconds. */
  constructor(now: () => number) {
    this.#rates = new ExpiringMap(MAX_UPSTREAM_RATES, now);
  }

  /** In bytes per second; undefined when nothing was measured within an hour. */
  get(registry: string): number | undefined {
    return this.#rates.get(registry);
  }

  /** Takes in how far a led download is. Returns the mark to call it with the next time. */
  measured(registry: string, since: Mark | undefined, mark: Mark): Mark {
    if (since === undefined || mark.have < since.have) return mark;
    const ms = mark.at - since.at;
    if (ms < UPSTREAM_WINDOW_MS) return since;
    // A stall is a failure of the upstream, not its speed.
    if (mark.have === since.have) return mark;
    const rate = ((mark.have - since.have) * 1_000) / ms;
    const before = this.get(registry) ?? rate;
    this.#set(registry, before + NEWEST_WINDOW_PART * (rate - before));
    return mark;
  }

  /**
   * A led download is complete. A fast one has no window of its own. As a whole it came at least so
   * fast: the time includes what containerd took to begin and to commit.
   */
  completed(registry: string, since: Mark, { have, at }: Mark): void {
    const bytes = have - since.have;
    if (bytes < MIN_RATED_BYTES || at <= since.at) return;
    const rate = (bytes * 1_000) / (at - since.at);
    if (rate > (this.get(registry) ?? 0)) this.#set(registry, rate);
  }

  #set(registry: string, rate: number): void {
    this.#rates.set(registry, rate, KNOWN_RATE_MS);
  }
}
