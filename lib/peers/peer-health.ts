import type { FailureKind } from '../http/peer-failure.ts';
import { RULES } from './constants.ts';
import { type PeerEndpoint, pairOf } from './endpoint.ts';
import type { Held } from './held.ts';
import { Strikes } from './strikes.ts';

export interface PeerHealthParts {
  /** Is told of peers that could not be reached or said nothing: they may be dead. */
  readonly onNoAnswer?: (peerId: string) => void;
  /** A monotonic clock in milliseconds; tests give their own. */
  readonly now?: () => number;
}

/**
 * What is held against an endpoint; RULES says for how long.
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
  readonly #now: () => number;
  readonly #failed = new Strikes(RULES.failed);
  readonly #denied = new Strikes(RULES.denied);
  readonly #lied = new Strikes(RULES.lied);
  readonly #overtaken = new Strikes(RULES.overtaken);
  readonly #wrongInFlight = new Strikes(RULES.wrongInFlight);
  readonly #slowInFlight = new Strikes(RULES.slowInFlight);

  constructor({ onNoAnswer = () => {}, now = () => performance.now() }: PeerHealthParts = {}) {
    this.#onNoAnswer = onNoAnswer;
    this.#now = now;
  }

  isBarred(endpoint: PeerEndpoint): boolean {
    const { address } = endpoint;
    const now = this.#now();
    const isBarred = [this.#failed, this.#denied, this.#lied].some((bars) =>
      bars.has(address, now),
    );
    return isBarred || this.#failed.has(pairOf(endpoint), now);
  }

  /** An endpoint that was asked later answered first, a moment ago. */
  isOvertaken({ address }: PeerEndpoint): boolean {
    return this.#overtaken.has(address, this.#now());
  }

  /** It is not to be asked for content that it still downloads itself. */
  isBarredInflight({ address }: PeerEndpoint): boolean {
    const now = this.#now();
    return this.#wrongInFlight.has(address, now) || this.#slowInFlight.has(address, now);
  }

  failed(endpoint: PeerEndpoint, kind: FailureKind): void {
    if (kind === 'refused' || kind === 'stalled' || kind === 'suspect') return;
    if (kind === 'unreachable' || kind === 'silent') this.#onNoAnswer(endpoint.peerId);
    const { address } = endpoint;
    if (kind === 'denied') this.#denied.add(address, endpoint, kind, this.#now());
    else if (kind === 'corrupt') this.#lied.add(address, endpoint, kind, this.#now());
    else {
      // Of a stranger only the pair is barred: the address is good for the host that answers there.
      const key = kind === 'stranger' ? pairOf(endpoint) : address;
      this.#failed.add(key, endpoint, kind, this.#now());
    }
  }

  succeeded(endpoint: PeerEndpoint): void {
    this.#overtaken.forget(endpoint.address);
    this.#failed.endRow(endpoint.address);
    this.#failed.endRow(pairOf(endpoint));
  }

  /** An endpoint that was asked later answered first. */
  overtaken(endpoint: PeerEndpoint): void {
    this.#overtaken.add(endpoint.address, endpoint, 'another was faster', this.#now());
  }

  /** Content that it was still downloading was wrong. The liar may be the peer that it follows. */
  inflightWasWrong(endpoint: PeerEndpoint): void {
    this.#wrongInFlight.add(endpoint.address, endpoint, 'corrupt', this.#now());
  }

  /** Content that it was still downloading came too slowly. */
  inflightWasSlow(endpoint: PeerEndpoint): void {
    this.#slowInFlight.add(endpoint.address, endpoint, 'slow', this.#now());
  }

  /** What is held against endpoints now. */
  held(): Held[] {
    const all = [
      this.#failed,
      this.#denied,
      this.#lied,
      this.#overtaken,
      this.#wrongInFlight,
      this.#slowInFlight,
    ];
    return all.flatMap((strikes) => strikes.held(this.#now()));
  }
}
