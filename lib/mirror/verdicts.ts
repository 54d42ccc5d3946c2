import { untilAborted } from '../base/abortable.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import { Contributions } from './contributions.ts';
import type { PeerEndpoint, PeerHealth } from './peer-health.ts';
import type { Suspects } from './suspects.ts';
import type { Transfers } from './transfers.ts';

/** Watches what this host's containerd makes of its downloads. */
export interface DownloadJudge {
  /**
   * From now on it is told what becomes of the downloads of this digest: `good` it is a blob, `bad`
   * it is full of wrong bytes, `ended` it is gone and says nothing.
   */
  follow(digest: Digest): Promise<boolean>;
  listen(listener: (digest: Digest, outcome: 'good' | 'bad' | 'ended') => void): void;
  /** Nobody is to have what there is of it; it is thrown away as soon as nobody writes to it. */
  distrust(digest: Digest): void;
  /** Waits up to `ms` while it is not known what becomes of full downloads of these digests. */
  settled(digests: readonly Digest[], ms: number): Promise<void>;
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
 * Which peers are trusted follows from what containerd made of their bytes, since it checks every
 * digest itself. Of a download that was bad all contributors are suspects, and the digest is left
 * to the upstream.
 */
export class Verdicts {
  readonly #parts: VerdictsParts;
  readonly #contributions = new Contributions();
  readonly #spoilt = new ExpiringMap<true>(MAX_SPOILT);

  constructor(parts: VerdictsParts) {
    this.#parts = parts;
    parts.judge?.listen((digest, outcome) => this.#on(digest, outcome));
  }

  /** This host's containerd asks for a blob from `start` on, by the name `registry/repository`. */
  async asked(digest: Digest, start: number, repository: string): Promise<void> {
    // Asked anew, it may have been wrong: where containerd cannot be watched that is all one hears.
    if (start === 0 && this.#contributions.isUnheard(digest)) {
      this.#contributions.forget(digest);
      this.#spoilt.set(digest, true, SPOILT_MS);
    }
    this.#contributions.asked(digest, start, repository);
    await this.#parts.judge?.settled([digest], SETTLE_MS);
  }

  /**
   * This host's containerd begins to pull something of this repository. What it has in full and
   * wrong it would commit again without asking anybody, and fail again: so it waits, up to two
   * seconds, until that is thrown away.
   */
  async settled(repository: string): Promise<void> {
    const digests = this.#contributions.digestsIn(repository);
    if (digests.length > 0) await this.#parts.judge?.settled(digests, SETTLE_MS);
  }

  /**
   * Bytes of this peer are on their way into this host's containerd. Resolves when it is watched
   * what becomes of them, within a second: until then the download must not end, or it may be gone
   * before anybody has looked. Never rejects.
   */
  async contributed(digest: Digest, endpoint: PeerEndpoint, isInflight: boolean): Promise<void> {
    this.#contributions.add(digest, endpoint, isInflight);
    const { judge } = this.#parts;
    const following = judge?.follow(digest) ?? Promise.resolve(false);
    const inTime = AbortSignal.timeout(FOLLOW_MS);
    const isWatched = await untilAborted(following, inTime).catch(() => false);
    if (!isWatched) this.#contributions.unheard(digest);
  }

  /** Wrong bytes of it may be in this host's containerd, or were within the last hour. */
  isSpoilt(digest: Digest): boolean {
    return this.#spoilt.get(digest) === true;
  }

  /**
   * Bytes of it that are in this host's containerd came from a liar: the rest does not help. Its
   * body ends, and what there is of it goes.
   */
  spoil(digest: Digest, reason: string): void {
    this.#spoilt.set(digest, true, SPOILT_MS);
    this.#parts.judge?.distrust(digest);
    this.#parts.transfers.spoil(digest, reason);
  }

  #on(digest: Digest, outcome: 'good' | 'bad' | 'ended'): void {
    const contributors = this.#contributions.contributors(digest);
    // What is bad is still to be thrown away: a pull of the same name waits for that.
    if (outcome === 'bad') this.#contributions.blamed(digest);
    else this.#contributions.forget(digest);
    if (outcome === 'ended') return;
    const { suspects, peerHealth, log } = this.#parts;
    if (outcome === 'good') {
      for (const { endpoint } of contributors) peerHealth.succeeded(endpoint);
      const [first, second] = contributors;
      if (first !== undefined && second === undefined && !first.isMisled)
        suspects.prove(first.endpoint);
      return;
    }
    this.#spoilt.set(digest, true, SPOILT_MS);
    const endpoints = contributors.map(({ endpoint }) => endpoint);
    log.warn('containerd was sent wrong bytes, its pull fails', { digest, endpoints });
    for (const { endpoint, isMisled } of contributors) {
      if (isMisled) suspects.accuseMisled(endpoint);
      else suspects.accuse(endpoint);
    }
    const isAccused = (endpoint: PeerEndpoint) =>
      endpoints.length > 0 && suspects.isAccused(endpoint);
    for (const other of this.#contributions.digestsOf(isAccused)) {
      this.spoil(other, 'a peer that gave some of it has sent wrong bytes of something else');
    }
  }
}

/** Long enough for every retry of a rollout. */
const SPOILT_MS = 60 * 60_000;
/** Entries of a hundred bytes; more than a handful is an attack. */
const MAX_SPOILT = 1_024;
/** A look at containerd's directories takes some milliseconds, on a busy host a hundred times that. */
const FOLLOW_MS = 1_000;
/**
 * What a pull may wait for the end of the one before: it takes 0.2 s, and on a host without a free
 * CPU ten times that.
 */
const SETTLE_MS = 2_000;
