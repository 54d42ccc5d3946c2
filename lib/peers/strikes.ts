import { BoundedMap } from '../base/bounded-map.ts';
import type { PeerEndpoint } from './endpoint.ts';
import type { Held, PeerState } from './held.ts';

/** What follows when peers fail in one way. */
export interface StrikeRule {
  /** What a peer is while it is held against it. */
  readonly state: PeerState;
  /** So many failures in a row are held against a peer. */
  readonly strikes: number;
  /** For how long, in milliseconds; doubles each time in a row, up to `maxMs`. */
  readonly firstMs: number;
  readonly maxMs: number;
  /** A failure that comes later, in milliseconds, had another cause: it is not in a row. */
  readonly memoryMs: number;
  /** So many peers are remembered; the one that failed longest ago makes room. */
  readonly max: number;
}

interface Entry {
  readonly peerId: string | undefined;
  readonly address: string | undefined;
  readonly why: string;
  /** Failures in a row that are not held against it yet. */
  readonly count: number;
  /** How often in a row it was held against it. */
  readonly rows: number;
  /** When the last failure was counted. */
  readonly countedAt: number;
  readonly since: number;
  readonly until: number;
}

/**
 * Peers that failed in one way: which of them it is held against now. All times are of a monotonic
 * clock in milliseconds.
 */
export class Strikes {
  readonly #rule: StrikeRule;
  readonly #entries: BoundedMap<string, Entry>;

  constructor(rule: StrikeRule) {
    this.#rule = rule;
    this.#entries = new BoundedMap(rule.max);
  }

  has(key: string, now = performance.now()): boolean {
    return (this.#entries.get(key)?.until ?? 0) > now;
  }

  /** It failed. `peer` and `why` are for the status. */
  add(key: string, peer: Partial<PeerEndpoint>, why: string, now = performance.now()): void {
    const { strikes, firstMs, maxMs, memoryMs } = this.#rule;
    const known = this.#entries.get(key);
    const isHeld = this.has(key, now);
    // Three layers that die with one peer are one failure: they make no longer time of it.
    if (isHeld && maxMs > firstMs) return;
    const isInRow = known && Math.max(known.until, known.countedAt) + memoryMs > now;
    const { rows, count, until } = isInRow ? known : NOTHING;
    const since = isHeld && known ? known.since : now;
    const entry = { peerId: peer.peerId, address: peer.address, why, since, countedAt: now };
    if (count + 1 < strikes) this.#entries.set(key, { ...entry, rows, count: count + 1, until });
    else {
      const ms = Math.min(firstMs * 2 ** rows, maxMs);
      this.#entries.set(key, { ...entry, rows: rows + 1, count: 0, until: now + ms });
    }
  }

  /** The next failure is the first one in a row. What is held against it stays. */
  endRow(key: string): void {
    const known = this.#entries.get(key);
    if (known !== undefined) this.#entries.set(key, { ...known, rows: 0, count: 0 });
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }

  /** What is held against peers now. */
  held(now = performance.now()): Held[] {
    const { state } = this.#rule;
    const toWallClock = Date.now() - now;
    const held = [...this.#entries].filter(([, { until }]) => until > now);
    return held.map(([key, { peerId, address, why, ...entry }]) => {
      const [since, until] = [entry.since + toWallClock, entry.until + toWallClock];
      return { key, record: { peerId, address, state, since, until, why } };
    });
  }
}

const NOTHING = { rows: 0, count: 0, until: 0 } as const;
