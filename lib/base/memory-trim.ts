import type * as Ffi from 'node:ffi';
import { TRIM_CHECK_MS, TRIM_GROWTH_BYTES } from './constants.ts';
import type { Part } from './lifecycle.ts';

const LIBC = { malloc_trim: { return: 'i32', arguments: ['u64'] } } as const;

/**
 * Returns memory to the kernel that malloc keeps: the buffers of ended connections leave holes,
 * which glibc returns only in malloc_trim(3). After floods these were 100 MB and more. Does nothing
 * where this Node or this libc has no such call.
 */
export class MemoryTrim implements Part {
  readonly #rss: () => number;
  readonly #trim: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #least = Number.POSITIVE_INFINITY;

  /** Tests give both. */
  constructor(rss = () => process.memoryUsage.rss(), trim = mallocTrim()) {
    this.#rss = rss;
    this.#trim = trim;
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#trim === undefined) return;
    this.#timer = setInterval(() => this.trimIfGrown(), TRIM_CHECK_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
  }

  /** Trims when the memory has grown by some since the last time. */
  trimIfGrown(): void {
    const used = this.#rss();
    this.#least = Math.min(this.#least, used);
    if (used < this.#least + TRIM_GROWTH_BYTES) return;
    this.#trim?.();
    this.#least = this.#rss();
  }
}

/** malloc_trim(3) of this process's libc; undefined where it has none, as musl. */
export function mallocTrim(): (() => void) | undefined {
  const ffi = process.getBuiltinModule('node:ffi') as typeof Ffi | undefined;
  try {
    const call = ffi?.dlopen(null, LIBC).functions.malloc_trim;
    return call && (() => void call(0n));
  } catch {
    return undefined;
  }
}
