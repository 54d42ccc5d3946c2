import { PeerFailure } from '../http/peer-failure.ts';
import { RateWindow } from '../http/rate-window.ts';
import type { Digest } from '../oci/digest.ts';
import { FLOOR_BYTES_PER_S, FLOOR_WINDOW_MS, MIN_SOURCE_RATE_WINDOW_MS } from './constants.ts';
import type { Sharing } from './sharing.ts';

/**
 * Decides when a peer is left for being slow while it sends a body. It is left when the upstream
 * answers and, over a window of waiting, its bytes came slower than
 *
 * - FLOOR_BYTES_PER_S, if it has the whole content; or
 * - `--min-source-rate`, or half of what the upstream gave this host lately. Here all bodies that
 *   come from peers count together, because they share this host's link.
 */
export class ThroughputWatch {
  readonly #sharing: Sharing | undefined;
  readonly #total: (rate: number) => number;
  readonly #floorWindow: RateWindow;
  readonly #minRateWindow: RateWindow;
  #isBelowFloor = false;
  /** The rate that the last window did not reach. */
  #missedMinRate: number | undefined;
  /** Bytes per second that the peer should have given, and did not. */
  #missed: number | undefined;

  /**
   * `total(rate)` is what all bodies from peers come to, in bytes per second, when this one comes
   * at `rate`. `now` is a monotonic clock in milliseconds; tests give their own.
   */
  constructor(sharing: Sharing | undefined, total: (rate: number) => number, now?: () => number) {
    this.#sharing = sharing;
    this.#total = total;
    this.#floorWindow = new RateWindow(FLOOR_WINDOW_MS, now);
    const windowMs = sharing?.settings.rateWindowMs ?? MIN_SOURCE_RATE_WINDOW_MS;
    this.#minRateWindow = new RateWindow(windowMs, now);
  }

  /** From now on this host waits for bytes. */
  wait(): void {
    this.#floorWindow.wait();
    this.#minRateWindow.wait();
  }

  /** Bytes came without a wait. */
  add(bytes: number): void {
    this.#floorWindow.add(bytes);
    this.#minRateWindow.add(bytes);
  }

  /**
   * Bytes came. Returns the rate that the last window should have reached, in bytes per second, if
   * it did not. Returns it until a window is better: the upstream may become known to answer later.
   */
  took(bytes: number, isInflight: boolean): number | undefined {
    const floorRate = this.#floorWindow.took(bytes);
    if (floorRate !== undefined) this.#isBelowFloor = floorRate < FLOOR_BYTES_PER_S;
    const rate = this.#minRateWindow.took(bytes);
    if (rate !== undefined) {
      const minRate = this.#sharing?.minRate ?? 0;
      this.#missedMinRate = this.#total(rate) < minRate ? minRate : undefined;
    }
    // A peer that still gets the content may have a slow start of its own.
    const missedFloor = !isInflight && this.#isBelowFloor ? FLOOR_BYTES_PER_S : undefined;
    this.#missed = this.#missedMinRate ?? missedFloor;
    return this.#missed;
  }

  /** Why the peer is to be left. Undefined: it is fast enough, or there is no upstream instead. */
  tooSlow(isInflight: boolean, isUpstreamThere: () => boolean): PeerFailure | undefined {
    if (this.#missed === undefined || !isUpstreamThere()) return undefined;
    const kind = isInflight ? 'stalled' : 'slow';
    return new PeerFailure(kind, `slower than ${Math.round(this.#missed)} bytes/s`);
  }
}

/** A body that comes from peers now. */
export interface Transfer {
  readonly digest: Digest;
  /** What came of it is not trusted any more: it ends. */
  spoil(reason: string): void;
}

/** The bodies that this host gets from peers now, and how fast each came in its last window. */
export class Transfers {
  readonly #rates = new Map<Transfer, number | undefined>();

  add(body: Transfer): void {
    this.#rates.set(body, undefined);
  }

  delete(body: Transfer): void {
    this.#rates.delete(body);
  }

  /** Ends the bodies of this digest. */
  spoil(digest: Digest, reason: string): void {
    for (const body of [...this.#rates.keys()]) if (body.digest === digest) body.spoil(reason);
  }

  /**
   * What all of them come to, in bytes per second, when `body` comes at `rate`. A body that was not
   * measured yet counts as this one. They are judged together because they share a link unevenly:
   * one of three may get a tenth of it.
   */
  total(body: Transfer, rate: number): number {
    if (this.#rates.has(body)) this.#rates.set(body, rate);
    let total = 0;
    for (const measured of this.#rates.values()) total += measured ?? rate;
    return Math.max(total, rate);
  }
}
