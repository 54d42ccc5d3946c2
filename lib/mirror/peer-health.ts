import { ExpiringMap } from '../base/expiring-map.ts';
import type { FailureKind } from '../http/peer-failure.ts';
import {
  DENIED_MS,
  FAILURE_MEMORY_MS,
  FIRST_BAR_MS,
  INFLIGHT_SLOW_MS,
  LIAR_MS,
  MAX_BAR_MS,
  MAX_HEALTH_ENTRIES,
  OVERTAKEN_MS,
} from './constants.ts';

/** A peer at one address. */
export interface PeerEndpoint {
  readonly peerId: string;
  /** `host:port` */
  readonly address: string;
}

export interface PeerHealthParts {
  /** Is told of peers that could not be reached or said nothing: they may be dead. */
  readonly onNoAnswer?: (peerId: string) => void;
  /** A monotonic clock in milliseconds; tests give their own. */
  readonly now?: () => number;
}

/**
 * What is held against an endpoint, and for how long:
 *
 * - barred, so that it is not asked at all: 5 s after it could not be reached, broke off, or broke
 *   the rules, doubled with each failure in a row up to 5 minutes; 1 minute when it denies us; an
 *   hour when its bytes were wrong.
 * - barred in flight, so that it is asked only for content that it has whole: an hour after content
 *   that it was still downloading was wrong, a minute after that was too slow twice.
 * - overtaken, so that it is asked beside the others and nobody waits for it: 10 s.
 *
 * A 404 is not held against a peer, since a provider record outlives the content. Nor is in-flight
 * content without more bytes yet. Wrong bytes that reached containerd are held against a peer by
 * `Suspects` as well, which outlives a restart.
 *
 * The address counts and the peer id does not: a peer that answers a lookup can make up any number
 * of ids, or name an honest one, but bytes from an address came from there.
 */
export class PeerHealth {
  readonly #onNoAnswer: (peerId: string) => void;
  readonly #barred: ExpiringMap<true>;
  /** How often it failed in a row; outlives the bar, so that the next bar is longer. */
  readonly #failures: ExpiringMap<number>;
  readonly #overtaken: ExpiringMap<true>;
  readonly #barredInflight: ExpiringMap<true>;
  readonly #slowInflight: ExpiringMap<true>;

  constructor({ onNoAnswer = () => {}, now }: PeerHealthParts = {}) {
    this.#onNoAnswer = onNoAnswer;
    this.#barred = new ExpiringMap(MAX_HEALTH_ENTRIES, now);
    this.#failures = new ExpiringMap(MAX_HEALTH_ENTRIES, now);
    this.#overtaken = new ExpiringMap(MAX_HEALTH_ENTRIES, now);
    this.#barredInflight = new ExpiringMap(MAX_HEALTH_ENTRIES, now);
    this.#slowInflight = new ExpiringMap(MAX_HEALTH_ENTRIES, now);
  }

  isBarred(endpoint: PeerEndpoint): boolean {
    const { address } = endpoint;
    return this.#barred.get(address) === true || this.#barred.get(pairOf(endpoint)) === true;
  }

  /** An endpoint that was asked later answered first, a moment ago. */
  isOvertaken({ address }: PeerEndpoint): boolean {
    return this.#overtaken.get(address) === true;
  }

  /** It is not to be asked for content that it still downloads itself. */
  isBarredInflight({ address }: PeerEndpoint): boolean {
    return this.#barredInflight.get(address) === true;
  }

  failed(endpoint: PeerEndpoint, kind: FailureKind): void {
    if (kind === 'refused' || kind === 'stalled' || kind === 'suspect') return;
    if (kind === 'unreachable' || kind === 'silent') this.#onNoAnswer(endpoint.peerId);
    if (kind === 'denied') this.#barred.set(endpoint.address, true, DENIED_MS);
    else if (kind === 'corrupt') this.#barred.set(endpoint.address, true, LIAR_MS);
    // Of a stranger only the pair is barred: the address is good for the host that answers there.
    else this.#extendBar(kind === 'stranger' ? pairOf(endpoint) : endpoint.address);
  }

  succeeded(endpoint: PeerEndpoint): void {
    this.#overtaken.delete(endpoint.address);
    this.#failures.delete(endpoint.address);
    this.#failures.delete(pairOf(endpoint));
  }

  /** An endpoint that was asked later answered first. */
  overtaken({ address }: PeerEndpoint): void {
    this.#overtaken.set(address, true, OVERTAKEN_MS);
  }

  /** Content that it was still downloading was wrong. The liar may be the peer that it follows. */
  inflightWasWrong({ address }: PeerEndpoint): void {
    this.#barredInflight.set(address, true, LIAR_MS);
  }

  /**
   * Content that it was still downloading came too slowly. Once may be a hiccup of its upstream.
   * The second time it is barred: each layer would cost again the time that it takes to tell.
   */
  inflightWasSlow({ address }: PeerEndpoint): void {
    if (this.#slowInflight.get(address) === true)
      this.#barredInflight.set(address, true, INFLIGHT_SLOW_MS);
    this.#slowInflight.set(address, true, INFLIGHT_SLOW_MS);
  }

  #extendBar(key: string): void {
    // Three layers that die with one peer are one failure.
    if (this.#barred.get(key) === true) return;
    const failures = this.#failures.get(key) ?? 0;
    const barMs = Math.min(FIRST_BAR_MS * 2 ** failures, MAX_BAR_MS);
    this.#barred.set(key, true, barMs);
    this.#failures.set(key, failures + 1, barMs + FAILURE_MEMORY_MS);
  }
}

function pairOf({ peerId, address }: PeerEndpoint): string {
  return `${peerId} ${address}`;
}
