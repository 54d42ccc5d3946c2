import type { Instruments } from '../base/instruments.ts';
import { parseRange, parseRanges } from '../http/ranges.ts';
import { type BlobRequest, isMiss, type Mirror } from '../mirror/mirror.ts';
import { OCTET_STREAM } from '../oci/media-types.ts';
import {
  type BlobSelection,
  type Call,
  clientOf,
  isMirrored,
  sendBody,
  sendError,
  sendMiss,
  sendNotHere,
  sendUnsatisfiable,
  writeBlobHead,
  writeMultipartHead,
} from './call.ts';
import type { InflightContent } from './inflight.ts';
import type { LocalBlob, LocalContent, ManifestBudget } from './local.ts';
import type { MissedManifests } from './manifests.ts';
import { sourceLabelOf } from './metrics.ts';
import { relayRanges } from './relay-ranges.ts';

/** What a request for a blob is answered with. */
export interface BlobParts {
  readonly local: LocalContent;
  readonly mirror: Mirror;
  readonly missed: MissedManifests;
  readonly budget: ManifestBudget;
  readonly instruments: Instruments;
  /** Answer 206 to a first `bytes=0-`, so that containerd fetches a layer in parallel. */
  readonly parallelFetch: boolean;
  /** Undefined: in-flight sharing is off. */
  readonly inflight: InflightContent | undefined;
}

/**
 * Answers a request for a blob from the store. What is not there comes from the fleet for a
 * mirrored client, and for a peer from what containerd is still downloading. Otherwise answers 404.
 */
export async function answerBlob(
  parts: BlobParts,
  call: Call,
  request: BlobRequest,
): Promise<void> {
  const { digest } = request.target;
  const selection = selectionOf(call, digest, parts.parallelFetch);
  // containerd asks only for what it does not have.
  const which = call.isHostsContainerd ? 'known' : undefined;
  const admit = parts.budget.admitFor(call);
  const here = await parts.local.blob(digest, { selection, which }, call.signal, admit);
  if (here !== undefined) {
    await sendLocal(parts, call, request, selection, here);
  } else if (!isMirrored(call)) {
    const isSent = await parts.inflight?.answer(
      call,
      { registry: request.registry, digest },
      selection,
    );
    if (!isSent) sendNotHere(call, 'BLOB_UNKNOWN', digest);
  } else if (parts.missed.has(digest, call)) {
    sendError(call, 404, 'BLOB_UNKNOWN', `${digest} is a manifest, and no peer had it as one`);
  } else if (selection.isHead) {
    await sendSize(parts, call, request);
  } else if (selection.several !== undefined) {
    await relayRanges(parts, call, request, selection.several);
  } else {
    await relay(parts, call, request, selection);
  }
}

/**
 * Reads Range and If-Range. An If-Range other than our ETag asks for the whole (RFC 9110, 13.1.5).
 */
function selectionOf(call: Call, digest: string, parallelFetch: boolean): BlobSelection {
  const { range, 'if-range': condition } = call.request.headers;
  const isHead = call.request.method === 'HEAD';
  const isOther = condition !== undefined && condition !== `"${digest}"`;
  const isWhole = isHead || isOther;
  // A peer of ours asks for one range. Go Spegel passes on the ranges of its client, and some
  // versions take only a 200: a peer that asks for several gets the whole.
  const several = isWhole || call.role === 'peer' ? [] : parseRanges(range);
  if (several.length > 1) return { spec: undefined, several, isPartial: true, isHead };
  const spec = isWhole ? undefined : parseRange(range);
  if (spec?.kind !== 'from' || spec.start > 0) {
    return { spec, isPartial: spec !== undefined, isHead };
  }
  // `bytes=0-` is the whole: peers are asked without a range. A 206 makes containerd fetch the
  // layer in parallel, and then it has no fallback to the upstream after the first chunk.
  return { spec: undefined, isPartial: parallelFetch, isHead };
}

async function sendLocal(
  { instruments }: BlobParts,
  call: Call,
  { registry, target: { digest } }: BlobRequest,
  { isPartial }: BlobSelection,
  { size, mediaType, range, multipart, body }: LocalBlob,
): Promise<void> {
  if (range === undefined) {
    sendUnsatisfiable(call, size);
    return;
  }
  if (multipart !== undefined) writeMultipartHead(call, { registry, digest }, multipart);
  else writeBlobHead(call, { registry, digest, size, range, isPartial, mediaType });
  if (body === undefined) {
    call.response.end();
    return;
  }
  const length = multipart?.length ?? range.end - range.start;
  const { written, result } = await sendBody(call, body, length);
  const labels = { source: sourceLabelOf(call) };
  const done = result === 'complete' ? result : 'aborted';
  instruments.servedBytes.inc({ ...labels, result: done }, written);
}

async function sendSize(parts: BlobParts, call: Call, request: BlobRequest): Promise<void> {
  const size = await parts.mirror.blobSize(request, call.signal);
  if (isMiss(size)) {
    sendMiss(call, 'BLOB_UNKNOWN', request.target.digest, size);
    return;
  }
  const { registry, target } = request;
  const range = { start: 0, end: size };
  const { digest } = target;
  writeBlobHead(call, { registry, digest, size, range, isPartial: false, mediaType: OCTET_STREAM });
  call.response.end();
}

async function relay(
  { mirror, missed, instruments, ...parts }: BlobParts,
  call: Call,
  request: BlobRequest,
  { spec, isPartial }: BlobSelection,
): Promise<void> {
  const { registry, target } = request;
  const { digest } = target;
  const start = spec === undefined || spec.kind === 'suffix' ? 0 : spec.start;
  // What another host gets never lands in this host's store, so it is not shared.
  const isForHost = call.role === 'host';
  const inflight = isForHost ? parts.inflight : undefined;
  const isShared = inflight?.noteAsked(digest, start) ?? false;
  if (isForHost) await missed.learnSizeOf(digest, call.signal);
  const { isHostsContainerd } = call;
  const found = await mirror.blob(
    request,
    spec,
    { isShared, isForHost: isHostsContainerd },
    call.signal,
  );
  if (isMiss(found)) {
    sendMiss(call, 'BLOB_UNKNOWN', digest, found);
    return;
  }
  const { size, range, peerId, address, why, body } = found;
  writeBlobHead(call, { registry, digest, size, range, isPartial, mediaType: OCTET_STREAM });
  const relayed = inflight?.tapRelay(body, digest, range.start) ?? body;
  const { written, result } = await sendBody(call, relayed, range.end - range.start);
  const fields = { digest, peer: peerId, address, why, size, ...range, written, result };
  call.log.info('blob from the fleet', { ...fields, ...clientOf(call) });
  instruments.relayedBytes.inc({ result }, written);
}
