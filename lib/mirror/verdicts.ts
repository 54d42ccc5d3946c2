import { untilAborted } from '../base/abortable.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerEndpoint } from '../peers/endpoint.ts';
import type { PeerHealth } from '../peers/peer-health.ts';
import type { Suspects } from '../peers/suspects.ts';
import { CONTAINERD_SETTLE_MS, FOLLOW_MS, MAX_SPOILT, SPOILT_MS } from './constants.ts';
import { Contributions } from './contributions.ts';
import type { Transfers } from './throughput.ts';

/** Tells what this host's containerd makes of its downloads. */
export interface DownloadJudge {
  /**
   * From now on listeners hear what becomes of the downloads of this digest. Resolves when they are
   * watched; false: they cannot be.
   */
  follow(digest: Digest): Promise<boolean>;
  /** `good`: it has become a blob. `bad`: it is full of wrong bytes. `ended`: it is gone. */
  listen(listener: (digest: Digest, outcome: 'good' | 'bad' | 'ended') => void): void;
  /** What there is of it goes to no peer, and is discarded as soon as no client writes to it. */
  distrust(digest: Digest): void;
  /** Waits, up to `ms`, until it is known what becomes of full downloads of these digests. */
  untilSettled(digests: readonly Digest[], ms: number): Promise<void>;
}

export interface VerdictsParts {
  /** Undefined: no containerd to be watched. */
  readonly judge: DownloadJudge | undefined;
  readonly suspects: Suspects;
  readonly peerHealth: PeerHealth;
  readonly transfers: Transfers;
  readonly log: Logger;
}

/**
 * Judges peers by what containerd made of their bytes, because it checks every digest itself. When
 * a download was wrong, all contributors become suspects and the digest is left to the upstream.
 */
export class Verdicts {
  readonly #parts: VerdictsParts;
  readonly #contributions = new Contributions();
  readonly #spoilt = new ExpiringMap<true>(MAX_SPOILT);

  constructor(parts: VerdictsParts) {
    this.#parts = parts;
    parts.judge?.listen((digest, outcome) => this.#on(digest, outcome));
  }

  /** This host's containerd asks for a blob of `registry/repository`, from byte `start` on. */
  async asked(digest: Digest, start: number, repository: string): Promise<void> {
    // Where containerd cannot be watched, a second request is the only sign that bytes were wrong.
    if (start === 0 && this.#contributions.isUnwatched(digest)) {
      this.#contributions.forget(digest);
      this.#spoilt.set(digest, true, SPOILT_MS);
    }
    this.#contributions.asked(digest, start, repository);
    await this.#parts.judge?.untilSettled([digest], CONTAINERD_SETTLE_MS);
  }

  /**
   * This host's containerd begins to pull something of this repository. It would commit a full
   * download of wrong bytes without a request, and fail again. So the pull waits, up to two
   * seconds, until the download is discarded.
   */
  async untilSettled(repository: string): Promise<void> {
    const digests = this.#contributions.digestsIn(repository);
    if (digests.length > 0) await this.#parts.judge?.untilSettled(digests, CONTAINERD_SETTLE_MS);
  }

  /**
   * Bytes of this peer are on their way into this host's containerd. Resolves within a second, when
   * the download is watched. It must not end before, or its outcome may be missed. Never rejects.
   */
  async contributed(digest: Digest, endpoint: PeerEndpoint, isInflight: boolean): Promise<void> {
    this.#contributions.add(digest, endpoint, isInflight);
    const { judge } = this.#parts;
    const following = judge?.follow(digest) ?? Promise.resolve(false);
    const inTime = AbortSignal.timeout(FOLLOW_MS);
    const isWatched = await untilAborted(following, inTime).catch(() => false);
    if (!isWatched) this.#contributions.unwatched(digest);
  }

  /** Wrong bytes of this digest came into this host's containerd within the last hour. */
  isSpoilt(digest: Digest): boolean {
    return this.#spoilt.get(digest) === true;
  }

  /**
   * Bytes of this digest that are in this host's containerd came from a liar, so the rest does not
   * help: the bodies of the digest end, and what there is of it is discarded.
   */
  spoil(digest: Digest, reason: string): void {
    this.#spoilt.set(digest, true, SPOILT_MS);
    this.#parts.judge?.distrust(digest);
    this.#parts.transfers.spoil(digest, reason);
  }

  #on(digest: Digest, outcome: 'good' | 'bad' | 'ended'): void {
    const contributors = this.#contributions.contributors(digest);
    // A wrong download is not discarded yet, and the next pull of the repository waits for that.
    if (outcome === 'bad') this.#contributions.clearContributors(digest);
    else this.#contributions.forget(digest);
    if (outcome === 'ended') return;
    const { suspects, peerHealth, log } = this.#parts;
    if (outcome === 'good') {
      for (const { endpoint } of contributors) peerHealth.succeeded(endpoint);
      const [first, second] = contributors;
      if (first !== undefined && second === undefined && !first.isInflightOnly)
        suspects.prove(first.endpoint);
      return;
    }
    this.#spoilt.set(digest, true, SPOILT_MS);
    const endpoints = contributors.map(({ endpoint }) => endpoint);
    log.warn('containerd was sent wrong bytes, its pull fails', { digest, endpoints });
    for (const { endpoint, isInflightOnly } of contributors) {
      if (isInflightOnly) suspects.accuseInflight(endpoint);
      else suspects.accuse(endpoint, contributors.length === 1);
    }
    const isAccused = (endpoint: PeerEndpoint) =>
      endpoints.length > 0 && suspects.isAccused(endpoint);
    for (const other of this.#contributions.digestsOf(isAccused)) {
      this.spoil(other, 'a peer that gave some of it has sent wrong bytes of something else');
    }
  }
}
