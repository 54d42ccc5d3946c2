import type { Socket } from 'node:net';
import {
  MAX_THRESHOLD_BYTES,
  MIN_THRESHOLD_BYTES,
  RELAY_PIECE_BYTES,
  THRESHOLD_LATE_MS,
  THRESHOLD_MS,
  THRESHOLD_RATE_MS,
} from './constants.ts';
import { setReadableBytes } from './kernel-buffers.ts';

/** The kernel tells of every byte. */
const EVERY = 1;

/**
 * Has the kernel tell of THRESHOLD_MS of a body at once, by its rate, instead of each few packets:
 * a turn of the event loop costs 0.1 to 0.2 ms, and a link of 1 Gbit/s brings 14 KB within them.
 *
 * Where fewer bytes came and the peer pauses, they are told THRESHOLD_LATE_MS later. The kernel
 * tells of the end, of a failure and of a full receive window at once.
 */
export class ReceiveThreshold {
  readonly #socket: Socket;
  /** Made when it is first needed. */
  #late: NodeJS.Timeout | undefined;
  #isWaiting = false;
  /** What the kernel was told. */
  #current = EVERY;
  /** By the rate that was last measured, which goes on with the connection's next body. */
  #wanted = EVERY;
  /** When the present measuring began, and what came since. */
  #since: number | undefined;
  #bytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /**
   * From now on bytes of a body are waited for, of which `remaining` are due. Without `isSpliced`,
   * what is behind one read stays where it is.
   */
  wait(remaining: number, isSpliced: boolean): void {
    this.#isWaiting = true;
    this.#measure();
    const most = isSpliced ? MAX_THRESHOLD_BYTES : RELAY_PIECE_BYTES;
    this.#set(powerOfTwo(Math.min(this.#wanted, most, remaining)));
    if (this.#current === EVERY) return;
    if (this.#late) this.#late.refresh();
    else this.#late = setTimeout(() => this.#onLate(), THRESHOLD_LATE_MS);
  }

  /** Bytes came. */
  took(bytes: number): void {
    this.#isWaiting = false;
    this.#bytes += bytes;
  }

  /** The body is over, or the connection: what comes next is told at once. */
  end(): void {
    this.#isWaiting = false;
    this.#since = undefined;
    clearTimeout(this.#late);
    this.#late = undefined;
    this.#set(EVERY);
  }

  #measure(): void {
    const now = performance.now();
    if (this.#since === undefined) {
      this.#since = now;
      this.#bytes = 0;
    }
    const elapsedMs = now - this.#since;
    if (elapsedMs < THRESHOLD_RATE_MS) return;
    this.#wanted = (this.#bytes * THRESHOLD_MS) / elapsedMs;
    this.#since = now;
    this.#bytes = 0;
  }

  #onLate(): void {
    if (this.#isWaiting) this.#set(EVERY);
  }

  #set(bytes: number): void {
    if (bytes === this.#current) return;
    this.#current = bytes;
    setReadableBytes(this.#socket, bytes);
  }
}

/** The largest that is not above, so that the kernel is told of few changes; EVERY for little. */
function powerOfTwo(bytes: number): number {
  return bytes < MIN_THRESHOLD_BYTES ? EVERY : 2 ** Math.floor(Math.log2(bytes));
}
