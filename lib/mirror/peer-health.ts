import { ExpiringMap } from '../base/expiring-map.ts';
import type { FailureKind } from '../http/peer-failure.ts';

/** One way to a peer. */
export interface PeerEndpoint {
  readonly peerId: string;
  /** `host:port` */
  readonly address: string;
}

export interface PeerHealthParts {
  readonly onNoAnswer?: (peerId: string) => void;
  /** A monotonic clock in milliseconds; tests give their own. */
  readonly now?: () => number;
}

/**
 * Which addresses are left out for a while. Peer ids do not count: whoever answers a lookup can make up as many as
 * it likes, or name an honest one, while what came from an address came from there. Time doubles with each new
 * failure and a good answer clears it. Saying no (404) is no failure: a provider record outlives the content; nor is
 * having no more bytes than one got oneself.
 */
export class PeerHealth {
  readonly #barred: ExpiringMap<true>;
  /** How often in a row; outlives the bar, so that the next one is longer. */
  readonly #failures: ExpiringMap<number>;
  readonly #slow: ExpiringMap<true>;
  readonly #misled: ExpiringMap<true>;
  readonly #dawdled: ExpiringMap<true>;

  readonly #onNoAnswer: (peerId: string) => void;

  /** `onNoAnswer` hears of peers that could not be reached or said nothing: they may be dead. */
  constructor({ onNoAnswer = () => {}, now }: PeerHealthParts = {}) {
    this.#onNoAnswer = onNoAnswer;
    this.#barred = new ExpiringMap(MAX_ENTRIES, now);
    this.#failures = new ExpiringMap(MAX_ENTRIES, now);
    this.#slow = new ExpiringMap(MAX_ENTRIES, now);
    this.#misled = new ExpiringMap(MAX_ENTRIES, now);
    this.#dawdled = new ExpiringMap(MAX_ENTRIES, now);
  }

  isBarred(endpoint: PeerEndpoint): boolean {
    return (
      this.#barred.get(endpoint.address) === true || this.#barred.get(pairOf(endpoint)) === true
    );
  }

  /** True for a endpoint that was overtaken lately: it is asked, but nobody waits for it. */
  isSlow(endpoint: PeerEndpoint): boolean {
    return this.#slow.get(endpoint.address) === true;
  }

  /** Content that it was still getting came wrong from there lately, or too slowly: not to be asked for such. */
  hasMisled(endpoint: PeerEndpoint): boolean {
    return this.#misled.get(endpoint.address) === true;
  }

  /**
   * It sent wrong bytes of content that it was still getting itself: whoever sent them to it may be the liar, so what
   * it has whole is still taken from it.
   */
  misled(endpoint: PeerEndpoint): void {
    this.#misled.set(endpoint.address, true, LIAR_MS);
  }

  /**
   * It sent content that it was still getting itself slower than that is worth. Once may be its upstream's hiccup; the
   * second time it is not asked for such for a while: each layer would cost the time again that it takes to tell.
   */
  dawdled(endpoint: PeerEndpoint): void {
    if (this.#dawdled.get(endpoint.address) === true)
      this.#misled.set(endpoint.address, true, DAWDLER_MS);
    this.#dawdled.set(endpoint.address, true, DAWDLER_MS);
  }

  failed(endpoint: PeerEndpoint, kind: FailureKind): void {
    if (kind === 'refused' || kind === 'stalled' || kind === 'suspect') return;
    if (kind === 'unreachable' || kind === 'silent') this.#onNoAnswer(endpoint.peerId);
    if (kind === 'denied') this.#barred.set(endpoint.address, true, DENIED_MS);
    else if (kind === 'corrupt') this.#barred.set(endpoint.address, true, LIAR_MS);
    // Another host than expected: the address is that one's good address.
    else this.#escalate(kind === 'stranger' ? pairOf(endpoint) : endpoint.address);
  }

  /** Overtaken by a endpoint that was asked later. */
  overtaken(endpoint: PeerEndpoint): void {
    this.#slow.set(endpoint.address, true, SLOW_MS);
  }

  succeeded(endpoint: PeerEndpoint): void {
    this.#slow.delete(endpoint.address);
    this.#failures.delete(endpoint.address);
    this.#failures.delete(pairOf(endpoint));
  }

  #escalate(key: string): void {
    // Three layers that die with one peer are one failure.
    if (this.#barred.get(key) === true) return;
    const failures = this.#failures.get(key) ?? 0;
    const bar = Math.min(FIRST_BAR_MS * 2 ** failures, MAX_BAR_MS);
    this.#barred.set(key, true, bar);
    this.#failures.set(key, failures + 1, bar + FORGET_MS);
  }
}

function pairOf(endpoint: PeerEndpoint): string {
  return `${endpoint.peerId} ${endpoint.address}`;
}

/** Longer than a restart takes, shorter than a pull. */
const FIRST_BAR_MS = 5_000;
const MAX_BAR_MS = 5 * 60_000;
/** Failures further apart than this are not in a row. */
const FORGET_MS = 10 * 60_000;
/** Wrong bytes cost containerd the whole pull: no second chance in the same rollout. */
const LIAR_MS = 60 * 60_000;
/** It lets nobody in before a key file or a clock is changed. */
const DENIED_MS = 60_000;
const SLOW_MS = 10_000;
const DAWDLER_MS = 60_000;
/** A few hundred KiB; a fleet of hundreds of hosts with two addresses each fits. */
const MAX_ENTRIES = 2_048;
