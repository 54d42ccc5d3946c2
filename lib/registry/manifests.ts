import type { IncomingMessage } from 'node:http';
import { PROOF_HEADER } from '../http/network-signature.ts';
import { isMiss, type ManifestRequest, type Mirror } from '../mirror/mirror.ts';
import type { Digest } from '../oci/digest.ts';
import { tagKey } from '../oci/reference.ts';
import type { TagJudgement, TagRule } from '../upstream/tag-rule.ts';
import { type Call, type Headers, sendError, sendMiss, sendWhole } from './call.ts';
import type { InflightContent } from './inflight.ts';
import type { LocalContent } from './local.ts';
import type { MissedManifests } from './missed-manifests.ts';

export interface ManifestParts {
  readonly local: LocalContent;
  readonly mirror: Mirror;
  readonly tagRule: TagRule;
  readonly missed: MissedManifests;
  readonly inflight: InflightContent | undefined;
}

/**
 * Answers a request for a manifest: from the store, else (this host's own requests) from the fleet, else 404.
 * A tag of this host's containerd is answered only where the upstream registry has failed it (docs/tags.md).
 */
export async function answerManifest(
  parts: ManifestParts,
  call: Call,
  request: ManifestRequest,
): Promise<void> {
  const { registry, repository, target } = request;
  if ('digest' in target || !call.isOwn) return answer(parts, call, request, ALWAYS);
  // Judged while the store is asked: both take their time when a disk or the upstream is gone.
  const tag = { registry, repository, tag: target.tag };
  return answer(parts, call, request, parts.tagRule.judge(tag, isOfContainerd(call.request)));
}

async function answer(
  parts: ManifestParts,
  call: Call,
  request: ManifestRequest,
  { mayAnswer, settle }: TagJudgement,
): Promise<void> {
  const { local, mirror } = parts;
  const { registry, repository, target } = request;
  const isTag = 'tag' in target;
  const key = isTag ? tagKey(registry, repository, target.tag) : target.digest;
  const here = await local.manifest(key, isTag, call.signal);
  if (here !== undefined && (await mayAnswer)) {
    if (call.isOwn && here.manifest !== undefined) mirror.learn(here.manifest);
    call.log.debug('manifest from the store', { key });
    // Bytes that were asked for by their digest prove themselves.
    const proof = isTag ? call.prove?.(here.digest) : undefined;
    await settle('tag');
    sendManifest(call, registry, here, proof === undefined ? {} : { [PROOF_HEADER]: proof });
    return;
  }
  if (!call.isOwn) {
    if (!isTag && (await sendInflight(parts.inflight, call, registry, target.digest))) return;
    sendError(call, 404, 'MANIFEST_UNKNOWN', `${key} is not on this host`);
    return;
  }
  const isHead = call.request.method === 'HEAD';
  if (!isTag && !isHead) parts.inflight?.asked(target.digest, 0);
  const found = await mirror.manifest(request, { isHead, mayAnswer }, call.signal);
  // Before the answer: what containerd makes of it may be over at once.
  await settle(isMiss(found) ? 'miss' : 'tag');
  if (isMiss(found)) {
    if (!isTag) parts.missed.add(target.digest);
    sendMiss(call, 'MANIFEST_UNKNOWN', key, found);
    return;
  }
  call.log.info('manifest from a peer', { key, peer: found.peerId, address: found.address });
  sendManifest(call, registry, found);
}

const ALWAYS: TagJudgement = { mayAnswer: Promise.resolve(true), settle: async () => {} };

/** containerd, and what pulls through its client library (`ctr`, nerdctl), say so. */
function isOfContainerd({ headers }: IncomingMessage): boolean {
  return headers['user-agent']?.startsWith('containerd/') ?? false;
}

/** To a peer, while containerd is still getting it; the peer checks its digest. */
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
