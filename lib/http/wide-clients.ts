import type { Socket } from 'node:net';
import { FAST_BYTES, FAST_MS, MAX_UNSENT_BYTES, MAX_WIDE_CLIENTS } from './constants.ts';
import { setUnsentBytes } from './kernel-buffers.ts';

/** No limit but that of the kernel (`tcp_wmem`, 4 MB by default). */
const UNLIMITED = 0;

interface Sending {
  since: number;
  bytes: number;
  isWide: boolean;
}

/**
 * Clients that read fast may leave more of a body in the kernel: with few bytes at a time, a body
 * costs nearly twice the CPU. One that reads slowly would keep that memory for long.
 */
export class WideClients {
  readonly #clients = new Map<Socket, Sending>();
  #wide = 0;

  /** To be called when the kernel has sent bytes of a body to this client. */
  sent(client: Socket, bytes: number): void {
    const now = performance.now();
    const sending = this.#clients.get(client) ?? { since: now, bytes: 0, isWide: false };
    this.#clients.set(client, sending);
    sending.bytes += bytes;
    if (sending.bytes < FAST_BYTES) return;
    this.#set(client, sending, now - sending.since < FAST_MS);
    sending.since = now;
    sending.bytes = 0;
  }

  /** The body is over. */
  release(client: Socket): void {
    const sending = this.#clients.get(client);
    if (sending !== undefined) this.#set(client, sending, false);
    this.#clients.delete(client);
  }

  #set(client: Socket, sending: Sending, isWide: boolean): void {
    if (sending.isWide === isWide || (isWide && this.#wide >= MAX_WIDE_CLIENTS)) return;
    sending.isWide = isWide;
    this.#wide += isWide ? 1 : -1;
    setUnsentBytes(client, isWide ? UNLIMITED : MAX_UNSENT_BYTES);
  }
}
