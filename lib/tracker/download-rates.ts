import {
  DOWNLOAD_WINDOW_MS,
  MIN_DOWNLOAD_SPAN_MS,
  NEWEST_WINDOW_PART,
  UPSTREAM_RATE_MEMORY_MS,
  UPSTREAM_WINDOW_MS,
} from './constants.ts';

/** How fast all content together came to this host lately, from peers and from the upstream. */
export class DownloadRate {
  readonly #marks: { readonly at: number; readonly bytes: number }[] = [];

  grew(bytes: number, at: number): void {
    this.#marks.push({ at, bytes });
    this.#forget(at);
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

/** How fast one download from the upstream came to this host lately, measured while it led. */
export class UpstreamRate {
  #bytesPerS = 0;
  #at = Number.NEGATIVE_INFINITY;

  /** In bytes per second; undefined when nothing was measured within an hour. */
  get(now: number): number | undefined {
    return this.#at + UPSTREAM_RATE_MEMORY_MS > now ? this.#bytesPerS : undefined;
  }

  /** Takes in how far a led download is. Returns the mark to call it with the next time. */
  measured(since: Mark | undefined, mark: Mark): Mark {
    if (since === undefined || mark.have < since.have) return mark;
    const ms = mark.at - since.at;
    if (ms < UPSTREAM_WINDOW_MS) return since;
    // A stall is a failure of the upstream, not its speed.
    if (mark.have === since.have) return mark;
    const rate = ((mark.have - since.have) * 1_000) / ms;
    const before = this.get(mark.at) ?? rate;
    this.#bytesPerS = before + NEWEST_WINDOW_PART * (rate - before);
    this.#at = mark.at;
    return mark;
  }
}
