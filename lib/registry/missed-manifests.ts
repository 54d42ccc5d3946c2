import { BoundedMap } from '../base/bounded-map.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import type { Mirror } from '../mirror/mirror.ts';
import type { Digest } from '../oci/digest.ts';
import type { Call } from './call.ts';
import { MAX_MISSED_MANIFESTS, MAX_UNREAD_MANIFESTS, MISSED_MANIFEST_MS } from './constants.ts';
import type { LocalContent } from './local.ts';
import { admitAny } from './manifest-budget.ts';

/**
 * Manifests that the fleet did not have, so that containerd fetches them from the upstream. They
 * are in this host's store when its containerd asks for their layers, and the sizes of the layers
 * are read there. Without the sizes, a peer that lies about a length is noticed only at the end of
 * its body. A manifest that a client on another host asked for counts for that client alone.
 */
export class MissedManifests {
  readonly #local: LocalContent;
  readonly #mirror: Mirror;
  readonly #unread = new BoundedMap<Digest, true>(MAX_UNREAD_MANIFESTS);
  readonly #asked = new ExpiringMap<true>(MAX_MISSED_MANIFESTS);
  /** By address and digest: a client must not make a layer count as a manifest for others. */
  readonly #askedElsewhere = new ExpiringMap<true>(MAX_MISSED_MANIFESTS);

  constructor(parts: { readonly local: LocalContent; readonly mirror: Mirror }) {
    this.#local = parts.local;
    this.#mirror = parts.mirror;
  }

  add(digest: Digest, { role, address }: Pick<Call, 'role' | 'address'>): void {
    if (role !== 'host') {
      this.#askedElsewhere.set(`${address} ${digest}`, true, MISSED_MANIFEST_MS);
      return;
    }
    this.#asked.set(digest, true, MISSED_MANIFEST_MS);
    this.#unread.set(digest, true);
  }

  /** True when this client asked for the digest as a manifest lately: then it is not a blob. */
  has(digest: Digest, { role, address }: Pick<Call, 'role' | 'address'>): boolean {
    if (role === 'host') return this.#asked.get(digest) === true;
    return this.#askedElsewhere.get(`${address} ${digest}`) === true;
  }

  /** Learns the size of a blob when one of these manifests names it. Waits for the store. */
  async learnSizeOf(digest: Digest, signal: AbortSignal): Promise<void> {
    if (this.#mirror.knownSize(digest) !== undefined) return;
    await Promise.all([...this.#unread.keys()].map((missed) => this.#learn(missed, signal)));
  }

  async #learn(missed: Digest, signal: AbortSignal): Promise<void> {
    const found = await this.#local.manifest(missed, false, signal, admitAny);
    if (found?.manifest === undefined) return;
    this.#mirror.learn(found.manifest);
    this.#unread.delete(missed);
  }
}
