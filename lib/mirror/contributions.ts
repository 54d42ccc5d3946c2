import { ExpiringMap } from '../base/expiring-map.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerEndpoint } from '../peers/endpoint.ts';
import {
  CONTRIBUTION_MEMORY_MS,
  MAX_CONTRIBUTION_DIGESTS,
  MAX_CONTRIBUTORS,
  MAX_REPOSITORIES,
} from './constants.ts';

export interface Contributor {
  readonly endpoint: PeerEndpoint;
  /** All its bytes came while it still downloaded the content itself: it may have been lied to. */
  readonly isInflightOnly: boolean;
}

interface Contribution {
  /** This process was asked for the first byte: no earlier one has filled the beginning. */
  readonly isWhole: boolean;
  /** What becomes of the download is not watched. */
  isUnwatched: boolean;
  /** `registry/repository` of the requests. */
  readonly repositories: Set<string>;
  /** By address. */
  readonly contributors: Map<string, Contributor>;
}

/**
 * Which peers' bytes went into each download of this host's containerd, until it is known what
 * became of the download. A peer counts also if another peer, or the upstream, gave the rest.
 * Bounded: the oldest are forgotten.
 */
export class Contributions {
  readonly #all = new ExpiringMap<Contribution>(MAX_CONTRIBUTION_DIGESTS);
  /** Digests with contributors, for looking up those of a peer or a repository. */
  readonly #digests = new Set<Digest>();

  /** This host's containerd asks for the bytes from `start` on. */
  asked(digest: Digest, start: number, repository: string): void {
    const known = this.#all.get(digest);
    const contribution = {
      isWhole: start === 0 || known?.isWhole === true,
      isUnwatched: known?.isUnwatched ?? false,
      repositories: known?.repositories ?? new Set(),
      contributors: known?.contributors ?? new Map(),
    };
    if (contribution.repositories.size < MAX_REPOSITORIES)
      contribution.repositories.add(repository);
    this.#all.set(digest, contribution, CONTRIBUTION_MEMORY_MS);
  }

  /** Bytes of this peer are on their way into the download. */
  add(digest: Digest, endpoint: PeerEndpoint, isInflight: boolean): void {
    const contributors = this.#all.get(digest)?.contributors;
    if (contributors === undefined || contributors.size >= MAX_CONTRIBUTORS) return;
    const wasInflightOnly = contributors.get(endpoint.address)?.isInflightOnly ?? true;
    contributors.set(endpoint.address, { endpoint, isInflightOnly: isInflight && wasInflightOnly });
    this.#digests.add(digest);
    for (const oldest of this.#digests) {
      if (this.#all.get(oldest) === undefined) this.#digests.delete(oldest);
      else break;
    }
  }

  /** The peers to blame if the download is wrong; none if bytes of an earlier process are in it. */
  contributors(digest: Digest): readonly Contributor[] {
    const contribution = this.#all.get(digest);
    return contribution?.isWhole ? [...contribution.contributors.values()] : [];
  }

  /** The digests of downloads with bytes of an endpoint that `isMeant` accepts. */
  digestsOf(isMeant: (endpoint: PeerEndpoint) => boolean): Digest[] {
    return [...this.#digests].filter((digest) => {
      const contributors = this.#all.get(digest)?.contributors.values() ?? [];
      return [...contributors].some(({ endpoint }) => isMeant(endpoint));
    });
  }

  /** The digests of downloads with bytes of peers that were requested from this repository. */
  digestsIn(repository: string): Digest[] {
    return [...this.#digests].filter((digest) =>
      this.#all.get(digest)?.repositories.has(repository),
    );
  }

  /** What becomes of the download is not watched. */
  unwatched(digest: Digest): void {
    const contribution = this.#all.get(digest);
    if (contribution !== undefined) contribution.isUnwatched = true;
  }

  /** The download has bytes of peers, and what became of it was not watched. */
  isUnwatched(digest: Digest): boolean {
    const contribution = this.#all.get(digest);
    return contribution?.isUnwatched === true && contribution.contributors.size > 0;
  }

  /** The download was wrong, its contributors were blamed, and it begins anew. */
  clearContributors(digest: Digest): void {
    this.#all.get(digest)?.contributors.clear();
  }

  /** The download has become a blob, or nothing is left of it. */
  forget(digest: Digest): void {
    this.#all.delete(digest);
    this.#digests.delete(digest);
  }
}
