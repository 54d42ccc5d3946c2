import {
  GONE_PEER_RECORDS_MS,
  KEYS_PER_SWEEP,
  MAX_RECORDS,
  MAX_RECORDS_PER_PEER,
  RECORDS_PER_EVICTION,
} from './constants.ts';
import { bytesKey } from './keys.ts';

/** A provider of a key, as it announced itself. */
export interface Provider {
  readonly peerId: string;
  /** Peer id as multihash. */
  readonly id: Uint8Array;
  readonly addresses: readonly Uint8Array[];
}

interface StoredProvider extends Provider {
  /** How many records the store holds for it. */
  records: number;
  /** Its records are kept for a while, because it may be back in a moment, but not returned. */
  isGone: boolean;
  /** When it went, on the monotonic clock in ms. */
  goneAt: number;
}

interface ProviderRecord {
  readonly provider: StoredProvider;
  /** On the monotonic clock in ms: a corrected wall clock must neither drop nor keep a record. */
  expiresAt: number;
}

export interface ProviderStoreBounds {
  /** Records of all peers together. */
  readonly maxRecords: number;
  readonly maxRecordsPerPeer: number;
}

const DEFAULT_BOUNDS: ProviderStoreBounds = {
  maxRecords: MAX_RECORDS,
  maxRecordsPerPeer: MAX_RECORDS_PER_PEER,
};

/**
 * The provider records that peers gave to this node. They are in memory only, because peers send
 * them again within minutes. An expired record is never returned, swept or not.
 *
 * kad-dht's own store is not used: it returns expired records, scans all records for each query,
 * and fails an answer when one provider has no addresses left.
 */
export class ProviderStore {
  readonly #bounds: ProviderStoreBounds;
  readonly #keys = new Map<string, ProviderRecord[]>();
  readonly #providers = new Map<string, StoredProvider>();
  #records = 0;
  #sweep: Iterator<[string, ProviderRecord[]]> | undefined;
  #eviction: Iterator<[string, ProviderRecord[]]> | undefined;

  constructor(bounds: ProviderStoreBounds = DEFAULT_BOUNDS) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#records;
  }

  /**
   * Adds or renews a record for `validityMs`, and marks its provider as no longer gone. False if a
   * bound forbids it.
   */
  add(key: Uint8Array, announced: Provider, validityMs: number, now = performance.now()): boolean {
    const provider = this.#storedProvider(announced);
    provider.isGone = false;
    const id = bytesKey(key);
    const expiresAt = now + validityMs;
    const known = this.#keys.get(id)?.find((record) => record.provider === provider);
    if (known !== undefined) {
      known.expiresAt = expiresAt;
      return true;
    }
    const { maxRecords, maxRecordsPerPeer } = this.#bounds;
    if (provider.records >= maxRecordsPerPeer) return false;
    if (this.#records >= maxRecords && !this.#evictFor(provider, now)) return false;
    provider.records++;
    this.#records++;
    this.#providers.set(provider.peerId, provider);
    const records = this.#keys.get(id);
    // An array, not a map: most keys have few providers, and an empty map alone takes 200 bytes.
    if (records === undefined) this.#keys.set(id, [{ provider, expiresAt }]);
    else records.push({ provider, expiresAt });
    return true;
  }

  /**
   * Up to `max` providers of a key whose records are valid. If there are more, each call returns a
   * different random choice.
   */
  providers(key: Uint8Array, max: number, now = performance.now()): Provider[] {
    const valid: StoredProvider[] = [];
    for (const { provider, expiresAt } of this.#keys.get(bytesKey(key)) ?? []) {
      if (expiresAt > now && !provider.isGone) valid.push(provider);
    }
    return sample(valid, max);
  }

  /** A peer's own record for a key; undefined if there is none or it has expired. */
  ownRecord(key: Uint8Array, peerId: string, now = performance.now()): Provider | undefined {
    const records = this.#keys.get(bytesKey(key));
    const own = records?.find(
      ({ provider, expiresAt }) => provider.peerId === peerId && expiresAt > now,
    );
    return own?.provider;
  }

  /** Sets whether `providers` leaves a peer's records out. */
  markGone(peerId: string, isGone: boolean, now = performance.now()): void {
    const provider = this.#providers.get(peerId);
    if (provider !== undefined) Object.assign(provider, { isGone, goneAt: now });
  }

  /**
   * Drops expired records. Each call visits a bounded number of keys and continues where the last
   * one ended.
   */
  sweep(now = performance.now()): void {
    this.#sweep ??= this.#keys.entries();
    for (let visited = 0; visited < KEYS_PER_SWEEP; visited++) {
      const next = this.#sweep.next();
      if (next.done === true) {
        this.#sweep = undefined;
        return;
      }
      this.#dropInvalid(next.value, now);
    }
  }

  /**
   * Evicts records of the provider that has most, if it has more than the newcomer: otherwise a
   * flood of records would keep out those of a host that comes later. Each call visits a bounded
   * number of keys and continues where the last one ended. True if there is room now.
   */
  #evictFor(newcomer: StoredProvider, now: number): boolean {
    let largest = newcomer;
    for (const provider of this.#providers.values()) {
      if (provider.records > largest.records) largest = provider;
    }
    if (largest.records <= newcomer.records + 1) return false;
    const target = this.#records - RECORDS_PER_EVICTION;
    for (let visited = 0; visited < KEYS_PER_SWEEP && this.#records > target; visited++) {
      this.#eviction ??= this.#keys.entries();
      const next = this.#eviction.next();
      if (next.done === true) this.#eviction = undefined;
      else this.#dropInvalid(next.value, now, largest);
    }
    return this.#records < this.#bounds.maxRecords;
  }

  /** Drops a key's records that have expired, that are `evicted`'s, or whose provider is gone. */
  #dropInvalid(
    [id, records]: [string, ProviderRecord[]],
    now: number,
    evicted?: StoredProvider,
  ): void {
    const isValid = ({ provider, expiresAt }: ProviderRecord) =>
      provider !== evicted &&
      expiresAt > now &&
      !(provider.isGone && provider.goneAt + GONE_PEER_RECORDS_MS < now);
    const valid = records.filter(isValid);
    if (valid.length === records.length) return;
    for (const record of records) {
      if (isValid(record)) continue;
      const { provider } = record;
      this.#records--;
      provider.records--;
      if (provider.records === 0) this.#providers.delete(provider.peerId);
    }
    if (valid.length === 0) this.#keys.delete(id);
    else this.#keys.set(id, valid);
  }

  /**
   * The provider's one object, with its newest addresses: all records of a host that moved lead to
   * its new address at once.
   */
  #storedProvider(announced: Provider): StoredProvider {
    const known = this.#providers.get(announced.peerId);
    if (known === undefined) return { ...copied(announced), records: 0, isGone: false, goneAt: 0 };
    if (!sameAddresses(known.addresses, announced.addresses)) {
      return Object.assign(known, { addresses: announced.addresses.map(copy) });
    }
    return known;
  }
}

function sameAddresses(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((bytes, i) => Buffer.compare(bytes, b[i] ?? bytes) === 0);
}

/** A slice of a message would keep the whole received chunk in memory. */
const copy = (bytes: Uint8Array) => Uint8Array.from(bytes);

function copied({ peerId, id, addresses }: Provider): Provider {
  return { peerId, id: copy(id), addresses: addresses.map(copy) };
}

/**
 * Returns `max` members of a list, each equally likely: a thousand nodes must not all name the same
 * provider. Reorders the list.
 */
function sample<T>(list: T[], max: number): T[] {
  for (let index = 0; index < Math.min(max, list.length - 1); index++) {
    const other = index + Math.floor(Math.random() * (list.length - index));
    const taken = list[other] as T;
    list[other] = list[index] as T;
    list[index] = taken;
  }
  return list.slice(0, max);
}
