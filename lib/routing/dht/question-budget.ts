import { setTimeout as sleep } from 'node:timers/promises';
import { isLoopback } from '../../base/address.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import { KeyedCounts } from '../../base/keyed-counts.ts';
import { quotaKey } from '../../base/quota-key.ts';
import { TimeBudget } from '../../base/time-budget.ts';

/**
 * A fleet that is switched on at once asks for a second or two; no flood gets more than half of one
 * core.
 */
const ALL = { share: 0.4, burstMs: 400 } as const;
/** Thousands of records of a host that starts take this long. */
const PER_NETWORK = { share: 0.15, burstMs: 250 } as const;
/** Work without a pause: a request of this host's containerd waits for it. */
const SLICE_MS = 4;
/** Streams whose questions wait, each with its window of bytes: further ones are ended. */
const MAX_WAITING = 256;
/** Streams per network that ask at once. */
const MAX_STREAMS = 96;
/** More networks than a fleet has. */
const MAX_NETWORKS = 10_000;
const NETWORK_FORGET_MS = 60_000;

/**
 * How much of this thread peers may use by their questions. One stream of questions stopped the
 * event loop for eight seconds. Peers are told apart by their network, since ids cost nothing; on
 * loopback, where all have one address, by id.
 */
export class QuestionBudget {
  readonly #all = new TimeBudget(ALL);
  readonly #networks = new ExpiringMap<TimeBudget>(MAX_NETWORKS);
  readonly #streams = new KeyedCounts();
  #slice = 0;
  #nextTurn: Promise<void> | undefined;
  #waiting = 0;

  /** The name by which a peer is counted. */
  static askerName(ip: string, peer: string): string {
    return isLoopback(ip) ? peer : quotaKey(ip);
  }

  /** Counts a stream; what it returns counts it out. Throws where its network has too many. */
  openStream(name: string): () => void {
    if (this.#streams.of(name) >= MAX_STREAMS)
      throw new Error(`${MAX_STREAMS} streams of its network are open`);
    this.#streams.add(name, 1);
    return () => this.#streams.add(name, -1);
  }

  /**
   * Resolves when a question of this peer may be answered. Rejects where too many wait, and with
   * the signal.
   */
  async waitForTurn(name: string, signal: AbortSignal): Promise<void> {
    let wait = this.#waitFor(name);
    if (wait === 0) return;
    if (this.#waiting >= MAX_WAITING) throw new Error('too many questions wait');
    this.#waiting += 1;
    try {
      for (; wait > 0; wait = this.#waitFor(name)) {
        if (this.#slice >= SLICE_MS) await this.#nextTurn;
        else await sleep(wait, undefined, { signal });
        signal.throwIfAborted();
      }
    } finally {
      this.#waiting -= 1;
    }
  }

  /** What a question took of this thread, in milliseconds. */
  spend(name: string, ms: number): void {
    this.#slice += ms;
    this.#nextTurn ??= this.#untilNextTurn();
    const now = performance.now();
    this.#all.spend(ms, now);
    const network = this.#budgetOf(name);
    network.spend(ms, now);
    this.#networks.set(name, network, NETWORK_FORGET_MS);
  }

  /** Milliseconds until it is worth looking again; 0: now. */
  #waitFor(name: string): number {
    if (this.#slice >= SLICE_MS) return 1;
    const now = performance.now();
    const waitMs = Math.max(this.#all.waitMs(now), this.#budgetOf(name).waitMs(now));
    return waitMs === 0 ? 0 : Math.max(1, waitMs);
  }

  #budgetOf(name: string): TimeBudget {
    return this.#networks.get(name) ?? new TimeBudget(PER_NETWORK);
  }

  async #untilNextTurn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#nextTurn = undefined;
    this.#slice = 0;
  }
}
