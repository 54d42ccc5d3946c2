import type { InflightClient } from '../tracker/tracker-client.ts';
import {
  MAX_STAGGERS,
  STAGGER_MS,
  STARVED_WAITS,
  TAKE_OVER_MS,
  WAITING_OFF_MS,
} from './constants.ts';

/** How long content that is being downloaded and gives nothing is waited for, in milliseconds. */
export interface InflightTimes {
  /**
   * By a follower, for the first byte. In the middle of a body it adds `staggerMs` of its depth.
   */
  readonly inflightWaitMs: number;
  /** By a follower, while its other downloads keep its link busy. */
  readonly starvedWaitMs: number;
  /**
   * By the host that sends it on. Followers must give up first, one after the other: if the sender
   * did, all of them would lose their source in the same moment.
   */
  readonly stallMs: number;
  /** By the host that sends it on, while its other downloads make progress. */
  readonly starvedStallMs: number;
}

/** All times that follow from `--inflight-wait`. */
export function inflightTimes(inflightWaitMs: number): InflightTimes {
  const starvedWaitMs = inflightWaitMs * STARVED_WAITS;
  const longestMs = staggerMs(MAX_STAGGERS);
  return {
    inflightWaitMs,
    starvedWaitMs,
    stallMs: inflightWaitMs + longestMs,
    starvedStallMs: starvedWaitMs + longestMs,
  };
}

/**
 * What a host waits longer in the middle of a body, in milliseconds, so that it stays behind the
 * host that it follows. `depth`: how many hosts pass the bytes on before its source.
 */
export function staggerMs(depth: number): number {
  return depth === 0 ? 0 : TAKE_OVER_MS + Math.min(depth, MAX_STAGGERS) * STAGGER_MS;
}

export interface SharingSettings extends Pick<InflightTimes, 'inflightWaitMs' | 'starvedWaitMs'> {
  /** In bytes per second: a slower peer is left. */
  readonly minSourceRate: number;
  /** How much waiting is judged by that rate at once, in milliseconds; tests have less time. */
  readonly rateWindowMs?: number;
}

/** In-flight sharing, as a request to the fleet uses it. */
export class Sharing {
  readonly client: InflightClient;
  readonly settings: SharingSettings;
  readonly waits = new InflightWaits();

  constructor(client: InflightClient, settings: SharingSettings) {
    this.client = client;
    this.settings = settings;
  }

  /**
   * What a source must give, in bytes per second: half of what this registry gave this host lately,
   * or the setting where that is not known.
   */
  minRate(registry: string): number {
    const own = this.client.upstreamRate(registry);
    return own === undefined ? this.settings.minSourceRate : own / 2;
  }
}

/**
 * Whether this host waits for content that other hosts still download. Off after a wait in vain.
 */
export class InflightWaits {
  readonly #now: () => number;
  #offUntil = 0;

  /** `now` is a monotonic clock in milliseconds; tests give their own. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get isOff(): boolean {
    return this.#now() < this.#offUntil;
  }

  switchOff(): void {
    this.#offUntil = this.#now() + WAITING_OFF_MS;
  }
}
