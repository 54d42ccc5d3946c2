import { bytesKey } from './keys.ts';

/** A provider of a key, as it announced itself. */
export interface Provider {
  /** Peer id as text. */
  readonly peer: string;
  readonly id: Uint8Array;
  readonly addresses: readonly Uint8Array[];
}

interface StoredProvider extends Provider {
  /** Records held for this peer. */
  records: number;
  /** Gone: its records are kept for a while, since it may be back in a moment, but not returned. */
  isGone: boolean;
  /** Since when, on the monotonic clock in ms. */
  goneAt: number;
}

interface ProviderRecord {
  readonly provider: StoredProvider;
  /** On the monotonic clock in ms: a wall clock that is put right must neither lose nor keep a record. */
  expires: number;
}

export interface ProviderStoreBounds {
  /** Records of all peers together; 100 to 250 bytes each. */
  readonly maxRecords: number;
  /** Records of one peer: what a host with very many images may have, not what a flood would bring. */
  readonly maxRecordsPerPeer: number;
}

/**
 * A node holds some 20 times a host's keys, however large the fleet is: 250,000 are 12,500 keys per
 * host. With twice as many, garbage collection held up requests for two seconds.
 */
const DEFAULT_BOUNDS: ProviderStoreBounds = {
  maxRecords: 250_000,
  maxRecordsPerPeer: 100_000,
};

/** Who comes back later is told everything anew, as whoever joins. Some who come only to fill the store are not waited for. */
const GONE_KEPT_MS = 120_000;

/** Keys looked at per call of `sweep`: some 2 ms. */
const SWEEP_KEYS = 10_000;

/**
 * Records freed at once for those that come later: to look for one at each would cost as much for
 * each.
 */
const RECORDS_EVICTED = 256;

/**
 * Provider records that peers gave us to keep. In memory: they are announced anew within minutes. An expired
 * record is never returned, whether it was swept already or not. kad-dht's own store is not used: it returns
 * expired records, scans all of them per query, and fails an answer when one provider has no addresses left.
 */
export class ProviderStore {
  readonly #bounds: ProviderStoreBounds;
  readonly #keys = new Map<string, ProviderRecord[]>();
  readonly #stored = new Map<string, StoredProvider>();
  #records = 0;
  #sweep: Iterator<[string, ProviderRecord[]]> | undefined;
  #eviction: Iterator<[string, ProviderRecord[]]> | undefined;

  constructor(bounds: ProviderStoreBounds = DEFAULT_BOUNDS) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#records;
  }

  /** Keeps or renews a record for `validityMs`. False if a bound forbids it. Whoever announces is not gone. */
  add(key: Uint8Array, provider: Provider, validityMs: number, now = performance.now()): boolean {
    const announcer = this.#storedProvider(provider);
    announcer.isGone = false;
    const id = bytesKey(key);
    const expires = now + validityMs;
    const known = this.#keys.get(id)?.find((record) => record.provider === announcer);
    if (known !== undefined) {
      known.expires = expires;
      return true;
    }
    const { maxRecords, maxRecordsPerPeer } = this.#bounds;
    if (announcer.records >= maxRecordsPerPeer) return false;
    if (this.#records >= maxRecords && !this.#evictFor(announcer, now)) return false;
    announcer.records++;
    this.#records++;
    this.#stored.set(announcer.peer, announcer);
    const kept = this.#keys.get(id);
    // An array, not a map: most keys have few holders, and an empty map alone takes 200 bytes.
    if (kept === undefined) this.#keys.set(id, [{ provider: announcer, expires }]);
    else kept.push({ provider: announcer, expires });
    return true;
  }

  /** Up to `max` providers of a key whose records have not expired; a different choice each time when there are more. */
  providers(key: Uint8Array, max: number, now = performance.now()): Provider[] {
    const valid: StoredProvider[] = [];
    for (const { provider: announcer, expires } of this.#keys.get(bytesKey(key)) ?? []) {
      if (expires > now && !announcer.isGone) valid.push(announcer);
    }
    return sample(valid, max);
  }

  /** A peer's own record for a key, if it is held and has not expired. */
  ownRecord(key: Uint8Array, peer: string, now = performance.now()): Provider | undefined {
    const kept = this.#keys.get(bytesKey(key));
    const own = kept?.find(
      ({ provider: announcer, expires }) => announcer.peer === peer && expires > now,
    );
    return own?.provider;
  }

  /** Whether a peer's records are left out of what `providers` returns. */
  setGone(peer: string, isGone: boolean, now = performance.now()): void {
    const announcer = this.#stored.get(peer);
    if (announcer !== undefined) Object.assign(announcer, { isGone, goneAt: now });
  }

  /** Frees expired records, a bounded number of keys per call; the next call goes on where this one ended. */
  sweep(now = performance.now()): void {
    this.#sweep ??= this.#keys.entries();
    for (let visited = 0; visited < SWEEP_KEYS; visited++) {
      const next = this.#sweep.next();
      if (next.done === true) {
        this.#sweep = undefined;
        return;
      }
      this.#dropInvalid(next.value, now);
    }
  }

  /**
   * Frees records of the announcer that has most, if that is more than the newcomer has: a flood of
   * records would keep out those of a host that comes later. A bounded number of keys per call,
   * from where the last call ended.
   */
  #evictFor(newcomer: StoredProvider, now: number): boolean {
    let most = newcomer;
    for (const announcer of this.#stored.values()) {
      if (announcer.records > most.records) most = announcer;
    }
    if (most.records <= newcomer.records + 1) return false;
    const enough = this.#records - RECORDS_EVICTED;
    for (let visited = 0; visited < SWEEP_KEYS && this.#records > enough; visited++) {
      this.#eviction ??= this.#keys.entries();
      const next = this.#eviction.next();
      if (next.done === true) this.#eviction = undefined;
      else this.#dropInvalid(next.value, now, most);
    }
    return this.#records < this.#bounds.maxRecords;
  }

  #dropInvalid(
    [id, kept]: [string, ProviderRecord[]],
    now: number,
    evicted?: StoredProvider,
  ): void {
    const isValid = ({ provider: announcer, expires }: ProviderRecord) =>
      announcer !== evicted &&
      expires > now &&
      !(announcer.isGone && announcer.goneAt + GONE_KEPT_MS < now);
    const valid = kept.filter(isValid);
    if (valid.length === kept.length) return;
    for (const record of kept) {
      if (isValid(record)) continue;
      const { provider: announcer } = record;
      this.#records--;
      announcer.records--;
      if (announcer.records === 0) this.#stored.delete(announcer.peer);
    }
    if (valid.length === 0) this.#keys.delete(id);
    else this.#keys.set(id, valid);
  }

  /** The announcer's one object, with its newest addresses: a host that moved is found at its new address at once. */
  #storedProvider(provider: Provider): StoredProvider {
    const known = this.#stored.get(provider.peer);
    if (known === undefined) return { ...copied(provider), records: 0, isGone: false, goneAt: 0 };
    if (!sameAddresses(known.addresses, provider.addresses)) {
      return Object.assign(known, { addresses: provider.addresses.map(copy) });
    }
    return known;
  }
}

function sameAddresses(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((bytes, i) => Buffer.compare(bytes, b[i] ?? bytes) === 0);
}

/** A slice of a message would keep all of the received chunk in memory. */
const copy = (bytes: Uint8Array) => Uint8Array.from(bytes);

function copied({ peer, id, addresses }: Provider): Provider {
  return { peer, id: copy(id), addresses: addresses.map(copy) };
}

/** `max` of a list's members, each equally likely: a thousand holders must not all send their peers to the same one. */
function sample<T>(list: T[], max: number): T[] {
  for (let index = 0; index < Math.min(max, list.length - 1); index++) {
    const other = index + Math.floor(Math.random() * (list.length - index));
    const taken = list[other] as T;
    list[other] = list[index] as T;
    list[index] = taken;
  }
  return list.slice(0, max);
}
