import type * as Ffi from 'node:ffi';
import type { Part } from './lifecycle.ts';

const LIBC = { malloc_trim: { return: 'i32', arguments: ['u64'] } } as const;

const LOOK_MS = 5_000;
/** Less is not worth a walk through all that malloc has. */
const GROWN_BYTES = 16 * 1024 * 1024;

/**
 * Gives memory back that malloc keeps: buffers of connections that have ended leave holes, which
 * glibc returns only when it is told (malloc_trim(3)). After floods these were 100 MB and more.
 * Does nothing where this Node or this libc has no such call.
 */
export class MemoryTrim implements Part {
  readonly #rss: () => number;
  readonly #trim: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #least = Number.POSITIVE_INFINITY;

  /** Tests say what is used and what trims. */
  constructor(rss = () => process.memoryUsage.rss(), trim = mallocTrim()) {
    this.#rss = rss;
    this.#trim = trim;
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#trim === undefined) return;
    this.#timer = setInterval(() => this.look(), LOOK_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
  }

  /** Trims if more is used than after the last time, by some. */
  look(): void {
    const used = this.#rss();
    this.#least = Math.min(this.#least, used);
    if (used < this.#least + GROWN_BYTES) return;
    this.#trim?.();
    this.#least = this.#rss();
  }
}

/** Undefined where there is none, as in musl. */
export function mallocTrim(): (() => void) | undefined {
  const ffi = process.getBuiltinModule('node:ffi') as typeof Ffi | undefined;
  try {
    const call = ffi?.dlopen(null, LIBC).functions.malloc_trim;
    return call && (() => void call(0n));
  } catch {
    return undefined;
  }
}
