import type { Digest } from '../oci/digest.ts';
import type { PeerEndpoint } from '../peers/endpoint.ts';
import type { Verdicts } from './verdicts.ts';

/** The peers that gave bytes of one body. */
export class BodyContributors {
  readonly #verdicts: Verdicts | undefined;
  readonly #digest: Digest;
  readonly endpoints = new Set<PeerEndpoint>();
  /** Resolves when containerd's outcome for their bytes is being watched. */
  areWatched: Promise<unknown> = Promise.resolve();

  /** Without `verdicts`, what becomes of the bytes is not watched. */
  constructor(verdicts: Verdicts | undefined, digest: Digest) {
    this.#verdicts = verdicts;
    this.#digest = digest;
  }

  /**
   * Notes that a peer gave bytes. To be called before they go to containerd, because what becomes
   * of the download may be known at once. `isInflight`: it still downloads them itself.
   */
  add(endpoint: PeerEndpoint, isInflight: boolean): void {
    if (this.endpoints.has(endpoint)) return;
    this.endpoints.add(endpoint);
    const watched = this.#verdicts?.contributed(this.#digest, endpoint, isInflight);
    this.areWatched = Promise.all([this.areWatched, watched]);
  }
}
