import type { Socket } from 'node:net';
import {
  FAST_BYTES,
  FAST_MS,
  LEFT_BEHIND_MS,
  MAX_UNSENT_BYTES,
  MAX_WIDE_CLIENTS,
} from './constants.ts';
import { setUnsentBytes, unsentMemory } from './kernel-buffers.ts';

/** No limit but that of the kernel (`tcp_wmem`, 4 MB by default). */
const UNLIMITED = 0;

interface Sending {
  /** A body is on its way. */
  isRunning: boolean;
  /** When the measuring began, or the present body if that was later. */
  since: number;
  /** What earlier bodies took of the measured time. */
  earlierMs: number;
  bytes: number;
  /** By its last FAST_BYTES. */
  isFast: boolean;
  isWide: boolean;
}

/**
 * Clients that read fast may leave more of a body in the kernel: with few bytes at a time, a body
 * costs nearly twice the CPU. One that reads slowly would keep that memory for long. What is known
 * of a connection goes on with its next body: the chunks of a layer are too short to begin anew.
 */
export class WideClients {
  readonly #clients = new WeakMap<Socket, Sending>();
  /** Those that are wide, and those that were and have not read what is left in the kernel. */
  readonly #places = new Set<Socket>();
  readonly #leftBehindMs: number;

  /** `leftBehindMs`: how long the kernel holds what a closed connection left unread. */
  constructor(leftBehindMs = LEFT_BEHIND_MS) {
    this.#leftBehindMs = leftBehindMs;
  }

  /** To be called when the kernel has sent bytes of a body to this client. */
  sent(client: Socket, bytes: number): void {
    const now = performance.now();
    const sending = this.#clients.get(client) ?? this.#meet(client);
    if (!sending.isRunning) {
      sending.isRunning = true;
      sending.since = now;
      this.#set(client, sending, sending.isFast);
    }
    sending.bytes += bytes;
    if (sending.bytes < FAST_BYTES) return;
    sending.isFast = sending.earlierMs + now - sending.since < FAST_MS;
    this.#set(client, sending, sending.isFast);
    sending.since = now;
    sending.earlierMs = 0;
    sending.bytes = 0;
  }

  /** The body is over. */
  release(client: Socket): void {
    const sending = this.#clients.get(client);
    if (!sending?.isRunning) return;
    sending.isRunning = false;
    sending.earlierMs += performance.now() - sending.since;
    this.#set(client, sending, false);
  }

  #set(client: Socket, sending: Sending, isWide: boolean): void {
    if (sending.isWide === isWide || (isWide && !this.#takePlace(client))) return;
    sending.isWide = isWide;
    setUnsentBytes(client, isWide ? UNLIMITED : MAX_UNSENT_BYTES);
  }

  /**
   * A body is over when the kernel has it: 119 clients in turn that stopped reading near the end of
   * theirs left 300 MB. So a client has its place until it has read that.
   */
  #takePlace(client: Socket): boolean {
    if (this.#places.size >= MAX_WIDE_CLIENTS) {
      for (const one of this.#places) if (!this.#isInUse(one)) this.#places.delete(one);
    }
    if (this.#places.size < MAX_WIDE_CLIENTS) this.#places.add(client);
    return this.#places.has(client);
  }

  /**
   * A closed socket does not tell what its client has not read. So that is asked when the client
   * ends the connection; of one that we close before, it is taken for much.
   */
  #meet(client: Socket): Sending {
    const sending = newSending();
    this.#clients.set(client, sending);
    const free = () => this.#places.delete(client);
    client.once('end', () => {
      if (unsentMemory(client) <= MAX_UNSENT_BYTES) free();
    });
    // At a reset the kernel drops it.
    client.once('error', free);
    client.once('close', () => {
      if (this.#places.has(client)) setTimeout(free, this.#leftBehindMs).unref();
    });
    return sending;
  }

  #isInUse(client: Socket): boolean {
    const isWide = this.#clients.get(client)?.isWide === true;
    return isWide || client.destroyed || unsentMemory(client) > MAX_UNSENT_BYTES;
  }
}

function newSending(): Sending {
  return { isRunning: false, since: 0, earlierMs: 0, bytes: 0, isFast: false, isWide: false };
}
