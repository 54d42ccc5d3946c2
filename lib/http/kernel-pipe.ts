import type * as Ffi from 'node:ffi';
import type { Socket } from 'node:net';
import { MAX_PIPES, PIPE_BYTES } from './constants.ts';
import { descriptorOf } from './descriptor.ts';

// Linux, the same on every architecture that Node runs on: pipe2(2), fcntl(2), splice(2).
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;
const SPLICE_F_MOVE = 1;
const SPLICE_F_NONBLOCK = 2;
const SPLICE_FLAGS = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

const LIBC = {
  pipe2: { return: 'i32', arguments: ['buffer', 'i32'] },
  fcntl: { return: 'i32', arguments: ['i32', 'i32', 'i32'] },
  splice: { return: 'i64', arguments: ['i32', 'pointer', 'i32', 'pointer', 'u64', 'u32'] },
  read: { return: 'i64', arguments: ['i32', 'buffer', 'u64'] },
  close: { return: 'i32', arguments: ['i32'] },
} as const;

/** A pipe through which the kernel moves bytes from one socket to another, without a copy here. */
export interface KernelPipe {
  /** Bytes that have left the peer and not reached the client. */
  readonly held: number;
  /**
   * Takes at most `wanted` bytes from a socket that nobody reads meanwhile. Returns their number; 0
   * where there are none now, at the end, and where something is wrong: a read by Node tells which.
   */
  fill(from: Socket, wanted: number): number;
  /** Gives what it holds to a client whose queue is empty. Returns the number of bytes. */
  drain(to: Socket): number;
  /** Takes bytes that it holds out of it. Returns their number. */
  read(buffer: Uint8Array): number;
  /** Idempotent. What it holds is lost. */
  close(): void;
}

/**
 * Makes pipes. One that is closed goes back to the kernel: those that are kept would count as
 * descriptors of this process and against its user's 64 MiB of pipes, and making one takes 20 us.
 */
export class KernelPipes {
  readonly #libc: ReturnType<typeof Ffi.dlopen<typeof LIBC>>['functions'];
  #count = 0;

  constructor(ffi: typeof Ffi) {
    this.#libc = ffi.dlopen(null, LIBC).functions;
  }

  /** Undefined where there are too many, or the kernel gives none of this size. */
  take(): KernelPipe | undefined {
    const ends = this.#make();
    return ends && this.#pipe(ends);
  }

  #pipe([output, input]: readonly [number, number]): KernelPipe {
    const libc = this.#libc;
    let held = 0;
    let isOpen = true;
    const move = (from: number | undefined, to: number | undefined, wanted: number): number => {
      if (!isOpen || from === undefined || to === undefined || wanted <= 0) return 0;
      return Math.max(0, Number(libc.splice(from, 0n, to, 0n, BigInt(wanted), SPLICE_FLAGS)));
    };
    return {
      get held() {
        return held;
      },
      fill: (from, wanted) => {
        const count = move(descriptorOf(from), input, Math.min(wanted, PIPE_BYTES - held));
        held += count;
        return count;
      },
      drain: (to) => {
        const count = move(output, descriptorOf(to), held);
        held -= count;
        return count;
      },
      read: (buffer) => {
        if (!isOpen || held === 0) return 0;
        const wanted = Math.min(buffer.byteLength, held);
        const count = Math.max(0, Number(libc.read(output, buffer, BigInt(wanted))));
        held -= count;
        return count;
      },
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        this.#destroy([output, input]);
      },
    };
  }

  #make(): readonly [number, number] | undefined {
    if (this.#count >= MAX_PIPES) return undefined;
    const ends = new Int32Array(2);
    const bytes = Buffer.from(ends.buffer);
    if (this.#libc.pipe2(bytes, O_NONBLOCK | O_CLOEXEC) !== 0) return undefined;
    const [output = -1, input = -1] = ends;
    this.#count += 1;
    // Beyond 64 MiB of pipes the kernel refuses a user that is not root.
    if (this.#libc.fcntl(input, F_SETPIPE_SZ, PIPE_BYTES) >= PIPE_BYTES) return [output, input];
    this.#destroy([output, input]);
    return undefined;
  }

  #destroy(ends: readonly [number, number]): void {
    for (const end of ends) this.#libc.close(end);
    this.#count -= 1;
  }
}
