import { setTimeout as sleep } from 'node:timers/promises';
import { isLoopback } from '../../base/address.ts';
import { countedAddress } from '../../base/counted-address.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';

/** A bucket of milliseconds of this thread. */
interface Bucket {
  left: number;
  /** When it was filled last, on the monotonic clock in ms. */
  at: number;
}

/** Milliseconds of this thread per millisecond, and at once. */
interface Rate {
  readonly share: number;
  readonly burst: number;
}

/**
 * A fleet that is switched on at once asks for a second or two; no flood gets more than half of one
 * core.
 */
const ALL: Rate = { share: 0.4, burst: 400 };
/** Thousands of records of a host that starts take this long. */
const PER_NETWORK: Rate = { share: 0.15, burst: 250 };
/** Work without a pause: a request of this host's containerd waits for it. */
const SLICE_MS = 4;
/** Streams whose questions wait, each with its window of bytes: further ones are ended. */
const MAX_WAITING = 256;
/** Streams per network that ask at once. */
const MAX_STREAMS = 96;
/** More networks than a fleet has. */
const MAX_NETWORKS = 10_000;
const FORGET_MS = 60_000;

/**
 * How much of this thread peers may use by their questions. One stream of questions stopped the
 * event loop for eight seconds. Peers are told apart by their network, since ids cost nothing; on
 * loopback, where all have one address, by id.
 */
export class QuestionBudget {
  readonly #all: Bucket = { left: ALL.burst, at: performance.now() };
  readonly #networks = new ExpiringMap<Bucket>(MAX_NETWORKS);
  readonly #streams = new Map<string, number>();
  #slice = 0;
  #nextTurn: Promise<void> | undefined;
  #waiting = 0;

  /** The name by which a peer is counted. */
  static nameOf(ip: string, peer: string): string {
    return isLoopback(ip) ? peer : countedAddress(ip);
  }

  /** Counts a stream; what it returns counts it out. Throws where its network has too many. */
  open(name: string): () => void {
    const count = this.#streams.get(name) ?? 0;
    if (count >= MAX_STREAMS) throw new Error(`${MAX_STREAMS} streams of its network are open`);
    this.#streams.set(name, count + 1);
    return () => {
      const left = (this.#streams.get(name) ?? 1) - 1;
      if (left === 0) this.#streams.delete(name);
      else this.#streams.set(name, left);
    };
  }

  /**
   * Resolves when a question of this peer may be answered. Rejects where too many wait, and with
   * the signal.
   */
  async turn(name: string, signal: AbortSignal): Promise<void> {
    let wait = this.#waitFor(name);
    if (wait === 0) return;
    if (this.#waiting >= MAX_WAITING) throw new Error('too many questions wait');
    this.#waiting += 1;
    try {
      for (; wait > 0; wait = this.#waitFor(name)) {
        if (this.#slice >= SLICE_MS) await this.#turnOver();
        else await sleep(wait, undefined, { signal });
        signal.throwIfAborted();
      }
    } finally {
      this.#waiting -= 1;
    }
  }

  /** What a question took of this thread, in milliseconds. */
  spent(name: string, ms: number): void {
    this.#slice += ms;
    this.#nextTurn ??= this.#untilNextTurn();
    this.#all.left -= ms;
    const bucket = this.#bucketOf(name);
    bucket.left -= ms;
    this.#networks.set(name, bucket, FORGET_MS);
  }

  /** Milliseconds until it is worth looking again; 0: now. */
  #waitFor(name: string): number {
    if (this.#slice >= SLICE_MS) return 1;
    const now = performance.now();
    refill(this.#all, ALL, now);
    const bucket = this.#bucketOf(name);
    refill(bucket, PER_NETWORK, now);
    const missing = Math.max(-this.#all.left / ALL.share, -bucket.left / PER_NETWORK.share);
    return missing < 0 ? 0 : Math.max(1, missing);
  }

  #bucketOf(name: string): Bucket {
    return this.#networks.get(name) ?? { left: PER_NETWORK.burst, at: performance.now() };
  }

  async #turnOver(): Promise<void> {
    await this.#nextTurn;
  }

  async #untilNextTurn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#nextTurn = undefined;
    this.#slice = 0;
  }
}

function refill(bucket: Bucket, { share, burst }: Rate, now: number): void {
  bucket.left = Math.min(burst, bucket.left + (now - bucket.at) * share);
  bucket.at = now;
}
