import { untilAborted } from '../base/abortable.ts';
import type { Instruments } from '../base/instruments.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import { BufferPool } from '../http/buffers.ts';
import { RELAY_BUFFERS } from '../http/constants.ts';
import type { RangeSpec } from '../http/ranges.ts';
import type { NetworkKeys } from '../network-key/network-key.ts';
import type { Digest } from '../oci/digest.ts';
import { type DistributionRequest, distributionPath } from '../oci/distribution.ts';
import type { Manifest } from '../oci/manifest.ts';
import { tagKey } from '../oci/reference.ts';
import type { Router } from '../routing/router.ts';
import type { FleetBlobRequest } from './blob-request.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import { type FoundBlob, fetchBlob, fetchBlobSize } from './fetch-blob.ts';
import { type FoundManifest, fetchManifest } from './fetch-manifest.ts';
import { type Fleet, Miss } from './fleet.ts';
import { KnownSizes } from './known-sizes.ts';
import { PeerHealth } from './peer-health.ts';
import type { RaceBounds } from './race.ts';
import type { Sharing } from './sharing.ts';
import { SuspectChecks } from './suspect-checks.ts';
import { Suspects, type SuspectsSettings } from './suspects.ts';
import { Transfers } from './transfers.ts';
import { type DownloadJudge, Verdicts } from './verdicts.ts';

export { Miss };

export function isMiss(outcome: unknown): outcome is Miss {
  return outcome instanceof Miss;
}

export type ManifestRequest = Extract<DistributionRequest, { kind: 'manifest' }>;
export type BlobRequest = Extract<DistributionRequest, { kind: 'blob' }>;

/** Whether an upstream registry is there: for what the fleet may cost, not for what a tag means. */
export interface UpstreamCheck {
  /** The answer of the last seconds, or undefined. */
  known(registry: string): boolean | undefined;
  /** Never rejects; answers within seconds. */
  answers(registry: string): Promise<boolean>;
}

export interface MirrorParts {
  readonly router: Router;
  readonly upstream: UpstreamCheck;
  readonly log: Logger;
  readonly instruments: Instruments;
  /** Watches this host's containerd; undefined: there is none to be watched. */
  readonly judge?: DownloadJudge | undefined;
  /** In-flight sharing; undefined: switched off. */
  readonly sharing?: Sharing | undefined;
  /** Undefined: an open network. */
  readonly networkKeys?: NetworkKeys | undefined;
}

export type MirrorSettings = Pick<RaceBounds, 'resolveTimeoutMs' | 'resolveRetries'> &
  SuspectsSettings;

/** Gets content through the fleet: lookup, race, checked manifest or relayed blob. */
export class Mirror implements Part {
  readonly #fleet: Fleet;
  readonly #upstream: UpstreamCheck;

  constructor(parts: MirrorParts, settings: MirrorSettings) {
    const { router, log, instruments, upstream, judge, networkKeys } = parts;
    this.#upstream = upstream;
    const peerHealth = new PeerHealth({ onNoAnswer: (peerId) => parts.router.suspect(peerId) });
    const transfers = new Transfers();
    const buffers = new BufferPool(RELAY_BUFFERS);
    const suspects = new Suspects({ log }, settings);
    this.#fleet = {
      router,
      log,
      instruments,
      sharing: parts.sharing,
      networkKeys,
      transfers,
      bounds: settings,
      peerHealth,
      buffers,
      suspects,
      checks: new SuspectChecks({ suspects, log, asker: { buffers, networkKeys } }),
      verdicts: new Verdicts({ judge, suspects, peerHealth, transfers, log }),
      sizes: new KnownSizes(),
      breaker: new CircuitBreaker(),
    };
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#fleet.suspects.load();
  }

  async stop(): Promise<void> {
    await this.#fleet.checks.stop();
    await this.#fleet.suspects.flush();
  }

  /**
   * This host's containerd begins to pull something of this repository: waits, up to two
   * seconds, while it may still have a download of wrong bytes that it would take for complete.
   */
  settled({ registry, repository }: Pick<BlobRequest, 'registry' | 'repository'>): Promise<void> {
    return this.#fleet.verdicts.settled(`${registry}/${repository}`);
  }

  /** The sizes of a manifest's children are believed from now on: this host's containerd pulls by it. */
  learn(manifest: Manifest): void {
    this.#fleet.sizes.learn(manifest);
  }

  /** The size of a blob in bytes, where such a manifest says it. */
  knownSize(digest: Digest): number | undefined {
    return this.#fleet.sizes.get(digest);
  }

  /**
   * A manifest by digest or by tag, checked. Answers within the resolve timeout and one hedge, or
   * the wait for a peer that is getting it itself; without `isShared` nobody waits, and nobody is
   * told that this host gets it. `mayAnswer`: whether the fleet may say what the tag means; a
   * digest is the same everywhere.
   */
  async manifest(
    request: ManifestRequest,
    sharing: { readonly isShared: boolean; readonly mayAnswer: Promise<boolean> },
    signal: AbortSignal,
  ): Promise<FoundManifest | Miss> {
    const { registry, target } = request;
    const path = distributionPath(request);
    if ('tag' in target) return this.#tag(request, target.tag, sharing.mayAnswer, signal);
    if (this.#isBypassed(registry)) return new Miss(FLEET_BYPASSED, []);
    return fetchManifest(this.#fleet, target.digest, path, target.digest, sharing, signal);
  }

  /**
   * A blob, or the given range of it. The first byte is here within the same bounds. `isShared`:
   * what this host gets is for others, too, so the tracker is asked. `isForHost`: it goes into
   * this host's containerd, which finds out whether the bytes are right.
   */
  async blob(
    request: BlobRequest,
    range: RangeSpec | undefined,
    { isShared, isForHost }: { readonly isShared: boolean; readonly isForHost: boolean },
    signal: AbortSignal,
  ): Promise<FoundBlob | Miss> {
    const { registry, repository, target } = request;
    const start = range === undefined || range.kind === 'suffix' ? 0 : range.start;
    if (isForHost)
      await this.#fleet.verdicts.asked(target.digest, start, `${registry}/${repository}`);
    if (this.#isBypassed(registry)) return new Miss(FLEET_BYPASSED, []);
    if (this.#isSpoilt(request)) return new Miss(SPOILT, []);
    const question = { ...this.#question(request, range, isForHost), isShared };
    const found = await fetchBlob(this.#fleet, question, signal);
    if (!isMiss(found) || !found.tried.some(({ result }) => result === 'suspect')) return found;
    if (await this.#upstreamMayAnswer(registry, signal)) return found;
    return fetchBlob(this.#fleet, { ...question, takesSuspects: true }, signal);
  }

  /** Only suspects have it. Within a second: a registry not known to be away may well be there. */
  async #upstreamMayAnswer(registry: string, signal: AbortSignal): Promise<boolean> {
    const known = this.#upstream.known(registry);
    if (known !== undefined) return known;
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(ASK_UPSTREAM_MS)]);
    return untilAborted(this.#upstream.answers(registry), inTime).catch(() => true);
  }

  /** The size of a blob in bytes. */
  blobSize(request: BlobRequest, signal: AbortSignal): Promise<number | Miss> {
    return fetchBlobSize(this.#fleet, this.#question(request, undefined, false), signal);
  }

  #question(
    request: BlobRequest,
    range: RangeSpec | undefined,
    isForHost: boolean,
  ): FleetBlobRequest {
    const { registry, target } = request;
    const { digest } = target;
    const upstreamIsThere = () => this.#upstreamKnown(registry) === true;
    return { digest, path: distributionPath(request), range, isForHost, upstreamIsThere };
  }

  /** After a bad moment the fleet is left alone, as long as the upstream can serve in its place. */
  #isBypassed(registry: string): boolean {
    return this.#fleet.breaker.isOpen && this.#upstreamKnown(registry) === true;
  }

  /** Wrong bytes fail a whole pull: the next one has this blob from the upstream, unless that is known to be gone. */
  #isSpoilt({ registry, target }: BlobRequest): boolean {
    const isSpoilt = this.#fleet.verdicts.isSpoilt(target.digest);
    return isSpoilt && this.#upstreamKnown(registry) !== false;
  }

  /** As far as it is known now; what is not known is found out for the next time, nobody waits for it. */
  #upstreamKnown(registry: string): boolean | undefined {
    const known = this.#upstream.known(registry);
    if (known === undefined) void this.#upstream.answers(registry);
    return known;
  }

  /** Asks the fleet while it is found out whether the fleet may answer. */
  async #tag(
    request: ManifestRequest,
    tag: string,
    mayAnswer: Promise<boolean>,
    signal: AbortSignal,
  ): Promise<FoundManifest | Miss> {
    const key = tagKey(request.registry, request.repository, tag);
    const path = distributionPath(request);
    const fleet = new AbortController();
    const either = AbortSignal.any([signal, fleet.signal]);
    const answer = fetchManifest(this.#fleet, key, path, undefined, { isShared: false }, either);
    // A tag that nobody has is not worth waiting for a verdict, which may take seconds.
    const first = await Promise.race([answer, mayAnswer]);
    if (first instanceof Miss) return first;
    if (await mayAnswer) return answer;
    fleet.abort();
    await answer;
    return new Miss(UPSTREAM_DECIDES, []);
  }
}

const ASK_UPSTREAM_MS = 1_000;
const SPOILT = 'peers sent wrong bytes of this blob within the last hour';
const FLEET_BYPASSED = 'peers have cost too much time lately, and the upstream registry answers';
const UPSTREAM_DECIDES = 'the upstream registry says what the tag means';
