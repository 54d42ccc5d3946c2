import { messageOf } from '../base/errors.ts';
import type { Instruments } from '../base/instruments.ts';
import { type Body, pump } from '../http/body.ts';
import { Outgoing } from '../http/outgoing.ts';
import { type ByteRange, formatContentRange, parseRange, type RangeSpec } from '../http/ranges.ts';
import { type BlobRequest, isMiss, type Mirror } from '../mirror/mirror.ts';
import { OCTET_STREAM } from '../oci/media-types.ts';
import { type Call, sendError, sendMiss } from './call.ts';
import type { LocalBlob, LocalContent } from './local.ts';
import type { MissedManifests } from './missed-manifests.ts';

export interface BlobParts {
  readonly local: LocalContent;
  readonly mirror: Mirror;
  readonly missed: MissedManifests;
  readonly instruments: Instruments;
  /** Answer 206 to a first `bytes=0-`, so that containerd fetches a layer in parallel. */
  readonly parallelFetch: boolean;
}

/** What of the blob is asked for, and how it is to be answered. */
interface Wanted {
  /** Undefined: the whole. */
  readonly spec: RangeSpec | undefined;
  /** 206, also when the range turns out to be everything. */
  readonly isPartial: boolean;
  readonly isHead: boolean;
}

/** Answers a request for a blob: from the store, else (this host's own requests) from the fleet, else 404. */
export async function answerBlob(
  parts: BlobParts,
  call: Call,
  request: BlobRequest,
): Promise<void> {
  const { digest } = request.target;
  const wanted = wantedOf(call, digest, parts.parallelFetch);
  const here = await parts.local.blob(digest, wanted.spec, wanted.isHead, call.signal);
  if (here !== undefined) {
    await sendLocal(parts, call, request, wanted, here);
  } else if (!call.isOwn) {
    sendError(call, 404, 'BLOB_UNKNOWN', `${digest} is not on this host`);
  } else if (wanted.isHead) {
    await sendSize(parts, call, request);
  } else {
    await relay(parts, call, request, wanted);
  }
}

/** Reads Range and If-Range; the latter with a validator other than ours asks for the whole (RFC 9110, 13.1.5). */
function wantedOf(call: Call, digest: string, parallelFetch: boolean): Wanted {
  const { range, 'if-range': condition } = call.request.headers;
  const isHead = call.request.method === 'HEAD';
  const isOther = condition !== undefined && condition !== `"${digest}"`;
  const spec = isHead || isOther ? undefined : parseRange(range);
  if (spec?.kind !== 'from' || spec.start > 0) {
    return { spec, isPartial: spec !== undefined, isHead };
  }
  // All of it: what peers answer to a plain GET. As 206 it makes containerd fetch the layer in parallel,
  // which has no fallback to the upstream after the first chunk.
  return { spec: undefined, isPartial: parallelFetch, isHead };
}

async function sendLocal(
  { instruments }: BlobParts,
  call: Call,
  request: BlobRequest,
  { isPartial }: Wanted,
  { source, range, body }: LocalBlob,
): Promise<void> {
  const { size, mediaType = OCTET_STREAM } = source;
  if (range === undefined) {
    const headers = { 'Content-Range': `bytes */${size}` };
    sendError(call, 416, 'UNSUPPORTED', `the blob has ${size} bytes`, { headers });
    return;
  }
  writeHead(call, request, { size, range, isPartial, mediaType });
  if (body === undefined) {
    call.response.end();
    return;
  }
  const { written, result } = await send(call, body, range);
  const labels = { source: call.isOwn ? 'internal' : 'external' };
  const done = result === 'complete' ? result : 'aborted';
  instruments.servedBytes.inc({ ...labels, result: done }, written);
}

async function sendSize(parts: BlobParts, call: Call, request: BlobRequest): Promise<void> {
  const size = await parts.mirror.blobSize(request, call.signal);
  if (isMiss(size)) {
    sendMiss(call, 'BLOB_UNKNOWN', request.target.digest, size);
    return;
  }
  const range = { start: 0, end: size };
  writeHead(call, request, { size, range, isPartial: false, mediaType: OCTET_STREAM });
  call.response.end();
}

async function relay(
  { mirror, missed, instruments }: BlobParts,
  call: Call,
  request: BlobRequest,
  { spec, isPartial }: Wanted,
): Promise<void> {
  const { digest } = request.target;
  await missed.learnSizeOf(digest, call.signal);
  const found = await mirror.blob(request, spec, call.signal);
  if (isMiss(found)) {
    sendMiss(call, 'BLOB_UNKNOWN', digest, found);
    return;
  }
  const { size, range, peerId, body } = found;
  writeHead(call, request, { size, range, isPartial, mediaType: OCTET_STREAM });
  const { written, result } = await send(call, body, range);
  call.log.info('blob from the fleet', { digest, peer: peerId, size, ...range, written, result });
  instruments.relayedBytes.inc({ result }, written);
}

/** What is answered of which whole. */
interface Answered {
  /** Size of the whole blob in bytes. */
  readonly size: number;
  readonly range: ByteRange;
  readonly isPartial: boolean;
  readonly mediaType: string;
}

function writeHead(call: Call, request: BlobRequest, answered: Answered): void {
  const { size, range, mediaType } = answered;
  // No range can be satisfied by nothing.
  const isPartial = answered.isPartial && size > 0;
  const { digest } = request.target;
  call.response.writeHead(isPartial ? 206 : 200, {
    'Content-Type': mediaType,
    'Content-Length': range.end - range.start,
    ...(isPartial ? { 'Content-Range': formatContentRange(range, size) } : {}),
    'Accept-Ranges': 'bytes',
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'OCI-Namespace': request.registry,
  });
}

/** Sends the body; ends the connection cleanly where it stops early. Closes the body, never rejects. */
async function send(
  call: Call,
  body: Body,
  range: ByteRange,
): Promise<{ readonly written: number; readonly result: 'complete' | 'cut' | 'aborted' }> {
  const stallMs = call.isOwn ? OWN_STALL_MS : STRANGER_STALL_MS;
  const out = new Outgoing(call.response, call.request.socket, stallMs);
  try {
    await pump(body, range.end - range.start, out);
    out.end();
    return { written: out.written, result: 'complete' };
  } catch (error) {
    out.cut();
    call.log.debug('body cut', { written: out.written, message: messageOf(error) });
    return { written: out.written, result: call.signal.aborted ? 'aborted' : 'cut' };
  } finally {
    body.close();
  }
}

/** CRI gives up after 5 minutes without progress; a containerd that is only frozen finds its body again. */
const OWN_STALL_MS = 10 * 60_000;

/** A peer hands over within a second; one that takes nothing for a minute is gone. */
const STRANGER_STALL_MS = 60_000;
