import type { ProvidedKey } from './own-key.ts';
import type { TablePeer } from './routing-table.ts';

/** Records per acknowledged batch: some 20 KB, read by the peer in a millisecond or two. */
const BATCH = 128;

/** What one peer is still to be told. Fresh keys overtake those that are only refreshed. */
export class Outbox {
  peer: TablePeer;
  /** Batches that failed in a row. */
  failures = 0;
  /** Whether it stands in the sender's queue or is being sent. */
  isQueued = false;
  readonly #fresh = new Set<ProvidedKey>();
  readonly #due = new Set<ProvidedKey>();

  constructor(peer: TablePeer) {
    this.peer = peer;
  }

  get size(): number {
    return this.#fresh.size + this.#due.size;
  }

  add(key: ProvidedKey, isFresh: boolean): void {
    if (isFresh) this.#fresh.add(key);
    else if (!this.#fresh.has(key)) this.#due.add(key);
  }

  /** The next batch, without keys that were withdrawn meanwhile. They stay in until `sent`. */
  batch(): ProvidedKey[] {
    const batch: ProvidedKey[] = [];
    for (const keys of [this.#fresh, this.#due]) {
      for (const key of keys) {
        if (batch.length === BATCH) return batch;
        if (key.isWithdrawn) keys.delete(key);
        else batch.push(key);
      }
    }
    return batch;
  }

  markSent(batch: readonly ProvidedKey[]): void {
    for (const key of batch) {
      this.#fresh.delete(key);
      this.#due.delete(key);
    }
  }

  clear(): void {
    this.#fresh.clear();
    this.#due.clear();
  }
}
