import { untilAborted } from '../base/abortable.ts';
import type { Instruments } from '../base/instruments.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import { BufferPool } from '../http/buffers.ts';
import { RELAY_BUFFERS } from '../http/constants.ts';
import { PeerConnections } from '../http/peer-connections.ts';
import type { RangeSpec } from '../http/ranges.ts';
import type { NetworkKeys } from '../network-key/network-key.ts';
import type { Digest } from '../oci/digest.ts';
import { type DistributionRequest, distributionPath } from '../oci/distribution.ts';
import type { Manifest } from '../oci/manifest.ts';
import { isIndexType } from '../oci/media-types.ts';
import { tagKey } from '../oci/reference.ts';
import type { Held } from '../peers/held.ts';
import { PeerHealth } from '../peers/peer-health.ts';
import { Suspects, type SuspectsSettings } from '../peers/suspects.ts';
import type { Router } from '../routing/router.ts';
import type { FleetBlobRequest } from './blob-race.ts';
import { ChunkBuffers } from './chunks/chunk-buffers.ts';
import { OwnLink } from './chunks/own-link.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import { ASK_UPSTREAM_MS } from './constants.ts';
import { type FoundBlob, fetchBlob, fetchBlobSize } from './fetch-blob.ts';
import { type FoundManifest, fetchManifest } from './fetch-manifest.ts';
import { type Fleet, KnownSizes, Miss } from './fleet.ts';
import type { RaceBounds } from './race.ts';
import type { Sharing } from './sharing.ts';
import { SuspectChecks } from './suspect-checks.ts';
import { Transfers } from './throughput.ts';
import { type DownloadJudge, Verdicts } from './verdicts.ts';

export { Miss };

export function isMiss(outcome: unknown): outcome is Miss {
  return outcome instanceof Miss;
}

export type ManifestRequest = Extract<DistributionRequest, { kind: 'manifest' }>;
export type BlobRequest = Extract<DistributionRequest, { kind: 'blob' }>;

/** Whether an upstream registry answers. Decides what peers may cost, not what a tag means. */
export interface UpstreamCheck {
  /** What was found out within the last seconds; undefined: nothing. */
  known(registry: string): boolean | undefined;
  /** Never rejects; answers within seconds. */
  answers(registry: string): Promise<boolean>;
}

export interface MirrorParts {
  readonly router: Router;
  readonly upstream: UpstreamCheck;
  readonly log: Logger;
  readonly instruments: Instruments;
  /** Undefined: there is no containerd to be watched. */
  readonly judge?: DownloadJudge | undefined;
  /** Undefined: in-flight sharing is switched off. */
  readonly sharing?: Sharing | undefined;
  /** Undefined: an open network. */
  readonly networkKeys?: NetworkKeys | undefined;
}

export type MirrorSettings = Pick<RaceBounds, 'resolveTimeoutMs' | 'resolveRetries'> &
  SuspectsSettings;

/**
 * Gets content from peers: checked manifests, and blobs that go on from another peer if one fails.
 */
export class Mirror implements Part {
  readonly #fleet: Fleet;
  readonly #upstream: UpstreamCheck;

  constructor(parts: MirrorParts, settings: MirrorSettings) {
    const { router, log, instruments, upstream, judge, networkKeys } = parts;
    this.#upstream = upstream;
    const peerHealth = new PeerHealth({ onNoAnswer: (peerId) => parts.router.suspect(peerId) });
    const transfers = new Transfers();
    const connections = new PeerConnections(new BufferPool(RELAY_BUFFERS));
    const suspects = new Suspects({ log }, settings);
    this.#fleet = {
      router,
      log,
      instruments,
      sharing: parts.sharing,
      networkKeys,
      transfers,
      chunkBuffers: new ChunkBuffers(),
      ownLink: new OwnLink(),
      bounds: settings,
      peerHealth,
      connections,
      suspects,
      checks: new SuspectChecks({ suspects, log, asker: { connections, networkKeys } }),
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
    this.#fleet.connections.close();
    await this.#fleet.checks.stop();
    await this.#fleet.suspects.flush();
  }

  /** What is held against peers now. */
  held(): Held[] {
    return [...this.#fleet.peerHealth.held(), ...this.#fleet.suspects.held()];
  }

  /**
   * To be called when this host's containerd begins to pull something of this repository. Waits, up
   * to two seconds, while containerd may have a full download of wrong bytes that it would commit.
   */
  untilSettled({
    registry,
    repository,
  }: Pick<BlobRequest, 'registry' | 'repository'>): Promise<void> {
    return this.#fleet.verdicts.untilSettled(`${registry}/${repository}`);
  }

  /**
   * Believes the sizes of this manifest's children: this host's containerd pulls by it. It asks for
   * them in a moment, so their providers are looked for at once.
   */
  learn(manifest: Manifest): void {
    const { sizes, router } = this.#fleet;
    sizes.learn(manifest);
    // Of the images of an index, containerd asks for one.
    if (!isIndexType(manifest.mediaType))
      router.prefetch(manifest.children.map(({ digest }) => digest));
  }

  /** The size of a blob in bytes, where a learnt manifest says it. */
  knownSize(digest: Digest): number | undefined {
    return this.#fleet.sizes.get(digest);
  }

  /**
   * A manifest by digest or by tag, checked. Answers within the resolve timeout and
   * RACE_HEDGE_BOUND_MS, or within the wait for a peer that still downloads it. Without `isShared`
   * there is no such wait, and no tracker is told that this host gets it. `mayAnswer`: whether
   * peers may say what the tag means. It is not asked about a digest, which means the same
   * everywhere.
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
   * A blob, or the given range of it. Resolves with its first byte within the same bounds.
   * `isShared`: peers may get it from this host while it comes, so the tracker is asked.
   * `isForHost`: it goes into this host's containerd, which finds out whether the bytes are right.
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
    const fleetRequest = { ...this.#fleetRequest(request, range, isForHost), isShared };
    const found = await fetchBlob(this.#fleet, fleetRequest, signal);
    if (!isMiss(found) || !found.tried.some(({ result }) => result === 'suspect')) return found;
    if (await this.#upstreamMayAnswer(registry, signal)) return found;
    return fetchBlob(this.#fleet, { ...fleetRequest, takesSuspects: true }, signal);
  }

  /** Only suspects have the blob: whether the upstream may be there instead, within a second. */
  async #upstreamMayAnswer(registry: string, signal: AbortSignal): Promise<boolean> {
    const known = this.#upstream.known(registry);
    if (known !== undefined) return known;
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(ASK_UPSTREAM_MS)]);
    return untilAborted(this.#upstream.answers(registry), inTime).catch(() => true);
  }

  /** The size of a blob in bytes. */
  blobSize(request: BlobRequest, signal: AbortSignal): Promise<number | Miss> {
    return fetchBlobSize(this.#fleet, this.#fleetRequest(request, undefined, false), signal);
  }

  #fleetRequest(
    request: BlobRequest,
    range: RangeSpec | undefined,
    isForHost: boolean,
  ): FleetBlobRequest {
    const { registry, target } = request;
    const { digest } = target;
    const isUpstreamThere = () => this.#upstreamKnown(registry) === true;
    return { digest, path: distributionPath(request), range, isForHost, isUpstreamThere };
  }

  /** The circuit breaker is open, and the upstream can serve in the peers' place. */
  #isBypassed(registry: string): boolean {
    return this.#fleet.breaker.isOpen && this.#upstreamKnown(registry) === true;
  }

  /**
   * Wrong bytes fail a whole pull, so the next one gets this blob from the upstream, unless that is
   * known to be away.
   */
  #isSpoilt({ registry, target }: BlobRequest): boolean {
    const isSpoilt = this.#fleet.verdicts.isSpoilt(target.digest);
    return isSpoilt && this.#upstreamKnown(registry) !== false;
  }

  /** Whether the upstream answers. Undefined: not known yet, and found out for the next request. */
  #upstreamKnown(registry: string): boolean | undefined {
    const known = this.#upstream.known(registry);
    if (known === undefined) void this.#upstream.answers(registry);
    return known;
  }

  /** Asks peers while it is found out whether they may answer. */
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
    // `mayAnswer` may take seconds: for a tag that no peer has it is not waited for.
    const first = await Promise.race([answer, mayAnswer]);
    if (first instanceof Miss) return first;
    if (await mayAnswer) return answer;
    fleet.abort();
    await answer;
    return new Miss(UPSTREAM_DECIDES, []);
  }
}

const SPOILT = 'peers sent wrong bytes of this blob within the last hour';
const FLEET_BYPASSED = 'peers have cost too much time lately, and the upstream registry answers';
const UPSTREAM_DECIDES = 'the upstream registry says what the tag means';
