import type * as Ffi from 'node:ffi';
import type { FileHandle } from 'node:fs/promises';
import { withFfi } from './with-ffi.ts';

// Linux, the same on every architecture that Node runs on: statx(2), `struct statx`.
const AT_EMPTY_PATH = 0x1000;
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_BASIC_STATS = 0x7ff;
const STATUS_BYTES = 256;
const [LINKS_AT, MODE_AT, SIZE_AT] = [16, 28, 40];
const [CHANGED_S_AT, CHANGED_NS_AT] = [96, 104];
const S_IFMT = 0xf000;
const S_IFREG = 0x8000;

const LIBC = {
  statx: { return: 'i32', arguments: ['i32', 'pointer', 'i32', 'u32', 'pointer'] },
} as const;

/** What tells whether an open file is still what it was. */
export interface FileStatus {
  readonly isRegular: boolean;
  /** In bytes. */
  readonly size: number;
  /** The names that it has; 0: it is deleted. */
  readonly links: number;
  /** When its names, mode, owner or content last changed: ns since 1970. */
  readonly changedNs: bigint;
}

/** One call for the whole process: the buffer is read before the next one. */
class Statx {
  readonly #call: ReturnType<typeof Ffi.dlopen<typeof LIBC>>['functions']['statx'];
  readonly #noPath = Buffer.alloc(1);
  readonly #status = Buffer.alloc(STATUS_BYTES);
  readonly #noPathPointer: bigint;
  readonly #statusPointer: bigint;

  /** Throws where libc lacks the call: glibc before 2.28. */
  constructor(ffi: typeof Ffi) {
    this.#call = ffi.dlopen(null, LIBC).functions.statx;
    this.#noPathPointer = ffi.getRawPointer(this.#noPath);
    this.#statusPointer = ffi.getRawPointer(this.#status);
  }

  of(descriptor: number): FileStatus | undefined {
    // Without DONT_SYNC, a server of files that does not answer would stop this process.
    const flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
    const [path, status] = [this.#noPathPointer, this.#statusPointer];
    if (this.#call(descriptor, path, flags, STATX_BASIC_STATS, status) !== 0) return undefined;
    const seconds = this.#status.readBigInt64LE(CHANGED_S_AT);
    return {
      isRegular: (this.#status.readUInt16LE(MODE_AT) & S_IFMT) === S_IFREG,
      size: Number(this.#status.readBigUInt64LE(SIZE_AT)),
      links: this.#status.readUInt32LE(LINKS_AT),
      changedNs: seconds * 1_000_000_000n + BigInt(this.#status.readUInt32LE(CHANGED_NS_AT)),
    };
  }
}

const statx = withFfi((ffi) => {
  try {
    return new Statx(ffi);
  } catch {
    return undefined;
  }
});

/**
 * The status of an open file, from what the kernel has in memory: at once, without a turn of the
 * thread pool. Where this Node cannot call libc, by such a turn. Rejects when the disk fails.
 */
export async function statusOf(file: FileHandle): Promise<FileStatus> {
  return statx()?.of(file.fd) ?? statusByPool(file);
}

/** The same by a turn of the thread pool. */
export async function statusByPool(file: FileHandle): Promise<FileStatus> {
  const stats = await file.stat({ bigint: true });
  return {
    isRegular: stats.isFile(),
    size: Number(stats.size),
    links: Number(stats.nlink),
    changedNs: stats.ctimeNs,
  };
}
