import { BoundedMap } from '../base/bounded-map.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import { PROOF_HEADER } from '../base/spegel-headers.ts';
import { isMiss, type ManifestRequest, type Mirror } from '../mirror/mirror.ts';
import type { Digest } from '../oci/digest.ts';
import { parseManifest } from '../oci/manifest.ts';
import { tagKey } from '../oci/reference.ts';
import type { TagDecider, TagDecision } from '../upstream/tag-decision.ts';
import {
  type Call,
  clientOf,
  type Headers,
  isMirrored,
  nameFieldOf,
  sendMiss,
  sendNotHere,
  sendWhole,
} from './call.ts';
import { MAX_MISSED_MANIFESTS, MAX_UNREAD_MANIFESTS, MISSED_MANIFEST_MS } from './constants.ts';
import type { InflightContent } from './inflight.ts';
import { admitAny, type LocalContent, type ManifestBudget } from './local.ts';

export interface ManifestParts {
  readonly local: LocalContent;
  readonly mirror: Mirror;
  readonly tagDecider: TagDecider;
  readonly missed: MissedManifests;
  readonly budget: ManifestBudget;
  readonly inflight: InflightContent | undefined;
}

/**
 * Answers a request for a manifest from the store. What is not there comes from the fleet for a
 * mirrored client, and for a peer from what containerd is still downloading. Otherwise answers 404.
 * A mirrored client's tag is answered only where the upstream registry has failed this host's
 * containerd (docs/tags.md).
 */
export async function answerManifest(
  parts: ManifestParts,
  call: Call,
  request: ManifestRequest,
): Promise<void> {
  const { registry, repository, target } = request;
  if ('digest' in target || !isMirrored(call)) return answer(parts, call, request, ALWAYS);
  // Decided while the store is asked: both are slow when a disk or the upstream is gone.
  const tag = { registry, repository, tag: target.tag };
  return answer(parts, call, request, parts.tagDecider.decide(tag, call.isHostsContainerd));
}

async function answer(
  parts: ManifestParts,
  call: Call,
  request: ManifestRequest,
  { mayAnswer, recordAnswer }: TagDecision,
): Promise<void> {
  const { local, mirror } = parts;
  const { registry, repository, target } = request;
  const isTag = 'tag' in target;
  const isHost = call.role === 'host';
  if (isHost) await mirror.untilSettled(request);
  const key = isTag ? tagKey(registry, repository, target.tag) : target.digest;
  const here = await local.manifest(key, isTag, call.signal, parts.budget.admitFor(call));
  if (here !== undefined && (await mayAnswer)) {
    if (isHost && here.manifest !== undefined) mirror.learn(here.manifest);
    call.log.debug('manifest from the store', nameFieldOf(key));
    // A manifest that was asked for by its digest needs no proof.
    const proof = isTag ? call.prove?.(here.digest) : undefined;
    await recordAnswer('tag');
    sendManifest(call, registry, here, proof === undefined ? {} : { [PROOF_HEADER]: proof });
    return;
  }
  if (!isMirrored(call)) {
    if (!isTag && (await sendInflight(parts.inflight, call, registry, target.digest))) return;
    sendNotHere(call, 'MANIFEST_UNKNOWN', key);
    return;
  }
  const isShared = isHost && call.request.method !== 'HEAD';
  if (isShared && !isTag) parts.inflight?.noteAsked(target.digest, 0);
  const found = await mirror.manifest(request, { isShared, mayAnswer }, call.signal);
  // Before the answer, because containerd may be done with it at once. A client that is gone does
  // not ask the upstream either.
  if (!call.signal.aborted) await recordAnswer(isMiss(found) ? 'miss' : 'tag');
  if (isMiss(found)) {
    if (!isTag) parts.missed.add(target.digest, call);
    sendMiss(call, 'MANIFEST_UNKNOWN', key, found);
    return;
  }
  const manifest = isHost ? parseManifest(found.content) : undefined;
  if (manifest !== undefined) mirror.learn(manifest);
  const from = { peer: found.peerId, address: found.address };
  call.log.info('manifest from a peer', { ...nameFieldOf(key), ...from, ...clientOf(call) });
  sendManifest(call, registry, found);
}

const ALWAYS: TagDecision = { mayAnswer: Promise.resolve(true), recordAnswer: async () => {} };

/** Sends a peer a manifest that containerd is still downloading. The peer checks its digest. */
async function sendInflight(
  inflight: InflightContent | undefined,
  call: Call,
  registry: string,
  digest: Digest,
): Promise<boolean> {
  const isHead = call.request.method === 'HEAD';
  const whole = { spec: undefined, isPartial: false, isHead };
  return (await inflight?.answer(call, { registry, digest }, whole)) ?? false;
}

function sendManifest(
  call: Call,
  registry: string,
  found: { readonly digest: string; readonly mediaType: string; readonly content: Buffer },
  more: Headers = {},
): void {
  const headers = {
    'Content-Type': found.mediaType,
    'Docker-Content-Digest': found.digest,
    ETag: `"${found.digest}"`,
    'OCI-Namespace': registry,
    ...more,
  };
  sendWhole(call, 200, headers, found.content);
}

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
