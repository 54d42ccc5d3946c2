import { BoundedMap } from '../base/bounded-map.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import type { Mirror } from '../mirror/mirror.ts';
import type { Digest } from '../oci/digest.ts';
import type { Call } from './call.ts';
import type { LocalContent } from './local.ts';
import { admitAny } from './manifest-budget.ts';

/**
 * Manifests that containerd was told to fetch from the upstream. They are in this host's store by
 * the time its containerd asks for their layers, so the sizes of the layers can be read there:
 * without them a peer that lies about a length is noticed only at the end of its body. What clients
 * on other hosts ask for counts for each of them alone.
 */
export class MissedManifests {
  readonly #local: LocalContent;
  readonly #mirror: Mirror;
  readonly #unread = new BoundedMap<Digest, true>(MAX_MISSED);
  readonly #asked = new ExpiringMap<true>(MAX_ASKED);
  /** By address and digest: no client can have others believe that a layer is a manifest. */
  readonly #askedElsewhere = new ExpiringMap<true>(MAX_ASKED);

  constructor(parts: { readonly local: LocalContent; readonly mirror: Mirror }) {
    this.#local = parts.local;
    this.#mirror = parts.mirror;
  }

  add(digest: Digest, { role, address }: Pick<Call, 'role' | 'address'>): void {
    if (role !== 'host') {
      this.#askedElsewhere.set(`${address} ${digest}`, true, ASKED_MS);
      return;
    }
    this.#asked.set(digest, true, ASKED_MS);
    this.#unread.set(digest, true);
  }

  /** This client asked for it as a manifest lately: it is one, whatever it is asked for as next. */
  has(digest: Digest, { role, address }: Pick<Call, 'role' | 'address'>): boolean {
    if (role === 'host') return this.#asked.get(digest) === true;
    return this.#askedElsewhere.get(`${address} ${digest}`) === true;
  }

  /** Learns the size of a blob, if one of these manifests names it. Takes as long as the store may take. */
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

/** An index and its manifest, for the few images that are pulled at the same time. */
const MAX_MISSED = 8;

/** A pull that fails asks for it as a blob at once. */
const ASKED_MS = 10 * 60_000;
const MAX_ASKED = 1_024;
