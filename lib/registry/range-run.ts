import type { Body } from '../http/body.ts';
import type { ByteRange } from '../http/ranges.ts';

/** Ranges that follow each other with small gaps. One request gets all of them. */
export interface RangeRun {
  readonly ranges: readonly ByteRange[];
  /** From the first byte to the last one, gaps included. */
  readonly whole: ByteRange;
}

/** Groups ranges and keeps their order. `maxGap`: how many bytes may lie between two of them. */
export function groupRanges(ranges: readonly ByteRange[], maxGap: number): readonly RangeRun[] {
  const runs: RangeRun[] = [];
  for (const range of ranges) {
    const last = runs.at(-1);
    const gap = range.start - (last?.whole.end ?? Number.POSITIVE_INFINITY);
    if (last === undefined || gap < 0 || gap > maxGap) {
      runs.push({ ranges: [range], whole: range });
    } else {
      const whole = { start: last.whole.start, end: range.end };
      runs.splice(-1, 1, { ranges: [...last.ranges, range], whole });
    }
  }
  return runs;
}

/** Reads the ranges of a run, in their order, out of the body of the run. Does not own the body. */
export class RangeRunReader {
  readonly #body: Body;
  /** The unread bytes of the last piece. */
  #rest: Uint8Array = NOTHING;
  /** Where they begin. */
  #position: number;

  constructor(body: Body, { whole }: RangeRun) {
    this.#body = body;
    this.#position = whole.start;
  }

  /** One of the ranges, to be read to its end before the next one. Rejects as the body does. */
  part(range: ByteRange): Body {
    return { next: () => this.#next(range), close() {} };
  }

  async #next({ start, end }: ByteRange): Promise<Uint8Array | undefined> {
    while (this.#position < end) {
      // Drops the gap before the range.
      this.#take(start - this.#position);
      if (this.#rest.byteLength > 0) return this.#take(end - this.#position);
      const piece = await this.#body.next();
      if (piece === undefined) return undefined;
      this.#rest = piece;
    }
    return undefined;
  }

  /** Up to `count` of the unread bytes. */
  #take(count: number): Uint8Array {
    const taken = this.#rest.subarray(0, Math.max(0, count));
    this.#rest = this.#rest.subarray(taken.byteLength);
    this.#position += taken.byteLength;
    return taken;
  }
}

const NOTHING = new Uint8Array(0);
