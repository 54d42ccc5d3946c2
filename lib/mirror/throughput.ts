import { PeerFailure } from '../http/peer-failure.ts';
import { RateWindow } from '../http/rate-window.ts';
import type { Digest } from '../oci/digest.ts';
import {
  FLOOR_BYTES_PER_S,
  FLOOR_WINDOW_MS,
  MIN_SOURCE_RATE_WINDOW_MS,
  WANTED_RATE_WINDOW_MS,
  WORTH_LEAVING_MS,
} from './constants.ts';
import type { Sharing } from './sharing.ts';

export interface ThroughputParts {
  readonly sharing: Sharing | undefined;
  /** In bytes per second: what a source must give, and what one in flight is expected to give. */
  readonly bounds: { readonly minRate: number; readonly wantedRate: number | undefined };
  /**
   * What all bodies from peers come to, in bytes per second, when this one comes at `rate`.
   */
  readonly total: (rate: number) => number;
  /** A monotonic clock in milliseconds; tests give their own. */
  readonly now?: () => number;
}

/**
 * Decides when a peer is left for being slow while it sends a body. It is left when the upstream
 * answers and, over a window of waiting, its bytes came slower than
 *
 * - FLOOR_BYTES_PER_S, if it has the whole content; or
 * - `--min-source-rate`, or half of what the upstream gave this host lately. Here all bodies that
 *   come from peers count together, because they share this host's link.
 *
 * Much sooner it says that a source in flight gives less than was to be expected, so that the
 * tracker can have one host leave it, and not all.
 */
export class ThroughputWatch {
  readonly #parts: ThroughputParts;
  readonly #floorWindow: RateWindow;
  readonly #minRateWindow: RateWindow;
  readonly #wantedWindow: RateWindow;
  readonly #windows: readonly RateWindow[];
  #isBelowFloor = false;
  /** The rate that the last window did not reach. */
  #missedMinRate: number | undefined;
  /** Bytes per second that the peer should have given, and did not. */
  #missed: number | undefined;
  /** Bytes per second of the last short window, until it was asked for. */
  #recent: number | undefined;
  #shortWindows = 0;
  /** The short window that is judged next. */
  #judged = 2;

  constructor(parts: ThroughputParts) {
    const { sharing, now } = parts;
    this.#parts = parts;
    this.#floorWindow = new RateWindow(FLOOR_WINDOW_MS, now);
    const windowMs = sharing?.settings.rateWindowMs ?? MIN_SOURCE_RATE_WINDOW_MS;
    this.#minRateWindow = new RateWindow(windowMs, now);
    this.#wantedWindow = new RateWindow(WANTED_RATE_WINDOW_MS, now);
    this.#windows = [this.#floorWindow, this.#minRateWindow, this.#wantedWindow];
  }

  /** From now on this host waits for bytes. */
  wait(): void {
    for (const window of this.#windows) window.wait();
  }

  /** Bytes came without a wait. */
  add(bytes: number): void {
    for (const window of this.#windows) window.add(bytes);
  }

  /**
   * Bytes came. Returns the rate that the last window should have reached, in bytes per second, if
   * it did not. Returns it until a window is better: the upstream may become known to answer later.
   */
  took(bytes: number, isInflight: boolean): number | undefined {
    const floorRate = this.#floorWindow.took(bytes);
    if (floorRate !== undefined) this.#isBelowFloor = floorRate < FLOOR_BYTES_PER_S;
    const recent = this.#wantedWindow.took(bytes);
    if (recent !== undefined) {
      this.#recent = isInflight ? recent : undefined;
      this.#shortWindows += 1;
    }
    const rate = this.#minRateWindow.took(bytes);
    if (rate !== undefined) {
      const { total, bounds } = this.#parts;
      this.#missedMinRate = total(rate) < bounds.minRate ? bounds.minRate : undefined;
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

  /**
   * The rate in bytes per second that an in-flight source was expected to give and did not. Said
   * after the second short window, and more and more rarely: a tracker may have 10,000 askers.
   * Undefined: it did, this host's own link is busy with other content, or the `rest` of the body
   * in bytes comes in a moment.
   */
  lack(rest: number): number | undefined {
    const recent = this.#recent;
    this.#recent = undefined;
    if (recent === undefined || this.#shortWindows < this.#judged) return undefined;
    const { sharing, total, bounds } = this.#parts;
    const { wantedRate } = bounds;
    if (wantedRate === undefined || sharing === undefined) return undefined;
    if (rest * 1_000 < recent * WORTH_LEAVING_MS) return undefined;
    if (Math.max(total(recent), sharing.client.downloadRate()) >= wantedRate) return undefined;
    this.#judged = this.#shortWindows + Math.floor(this.#shortWindows / 2);
    return wantedRate;
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
