import { ExpiringMap } from '../base/expiring-map.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerEndpoint } from './peer-health.ts';

export interface Contributor {
  readonly endpoint: PeerEndpoint;
  /** All that it gave came while it was still getting the content itself. */
  readonly isMisled: boolean;
}

interface Contribution {
  /** This host was asked for the first byte, so no earlier life of it has filled the beginning. */
  readonly isWhole: boolean;
  /** Nobody will hear what becomes of it. */
  isUnheard: boolean;
  /** `registry/repository` of the requests. */
  readonly repositories: Set<string>;
  /** By address. */
  readonly contributors: Map<string, Contributor>;
}

/**
 * Which peers' bytes went into a download of this host's containerd through this host, until it is
 * known what became of it. One that has begun the download at a peer counts although another, or
 * the upstream, gave the rest. Bounded; the oldest are forgotten.
 */
export class Contributions {
  readonly #all = new ExpiringMap<Contribution>(MAX_DIGESTS);
  /** Digests with contributors, for looking up those of a peer or a repository. */
  readonly #digests = new Set<Digest>();

  /** This host's containerd asks for the bytes from `start` on. */
  asked(digest: Digest, start: number, repository: string): void {
    const known = this.#all.get(digest);
    const contribution = {
      isWhole: start === 0 || known?.isWhole === true,
      isUnheard: known?.isUnheard ?? false,
      repositories: known?.repositories ?? new Set(),
      contributors: known?.contributors ?? new Map(),
    };
    if (contribution.repositories.size < MAX_REPOSITORIES)
      contribution.repositories.add(repository);
    this.#all.set(digest, contribution, REMEMBER_MS);
  }

  /** Bytes of this peer are on their way into the download. */
  add(digest: Digest, endpoint: PeerEndpoint, isInflight: boolean): void {
    const contributors = this.#all.get(digest)?.contributors;
    if (contributors === undefined || contributors.size >= MAX_CONTRIBUTORS) return;
    const isMisled = isInflight && (contributors.get(endpoint.address)?.isMisled ?? true);
    contributors.set(endpoint.address, { endpoint, isMisled });
    this.#digests.add(digest);
    for (const oldest of this.#digests) {
      if (this.#all.get(oldest) === undefined) this.#digests.delete(oldest);
      else break;
    }
  }

  /** Those to blame when the download turns out wrong; none when an earlier life may be. */
  contributors(digest: Digest): readonly Contributor[] {
    const contribution = this.#all.get(digest);
    return contribution?.isWhole ? [...contribution.contributors.values()] : [];
  }

  /** Digests whose downloads have bytes of peers that `isMeant`. */
  digestsOf(isMeant: (endpoint: PeerEndpoint) => boolean): Digest[] {
    return [...this.#digests].filter((digest) => {
      const contributors = this.#all.get(digest)?.contributors.values() ?? [];
      return [...contributors].some(({ endpoint }) => isMeant(endpoint));
    });
  }

  /** Digests with bytes of peers that were asked for by this name. */
  digestsIn(repository: string): Digest[] {
    return [...this.#digests].filter((digest) =>
      this.#all.get(digest)?.repositories.has(repository),
    );
  }

  /** Nobody will hear what becomes of the download. */
  unheard(digest: Digest): void {
    const contribution = this.#all.get(digest);
    if (contribution !== undefined) contribution.isUnheard = true;
  }

  /** Bytes of peers went into a download, and nobody heard what became of it. */
  isUnheard(digest: Digest): boolean {
    const contribution = this.#all.get(digest);
    return contribution?.isUnheard === true && contribution.contributors.size > 0;
  }

  /** The download was bad, and begins anew. */
  blamed(digest: Digest): void {
    this.#all.get(digest)?.contributors.clear();
  }

  /** The download is a blob, or nothing is left of it. */
  forget(digest: Digest): void {
    this.#all.delete(digest);
    this.#digests.delete(digest);
  }
}

/** Layers of the images that are being pulled, with room. */
const MAX_DIGESTS = 1_024;
const MAX_CONTRIBUTORS = 64;
const MAX_REPOSITORIES = 8;
/** A layer of many GB takes no longer than that; what a failed pull left is resumed within it. */
const REMEMBER_MS = 60 * 60_000;
