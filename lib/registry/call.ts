import type { IncomingMessage, ServerResponse } from 'node:http';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { type Body, BodyWriter, pump } from '../http/body.ts';
import type { Multipart } from '../http/multipart.ts';
import { type ByteRange, formatContentRange, type RangeSpec } from '../http/ranges.ts';
import type { Miss } from '../mirror/mirror.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import { type OciErrorCode, ociErrorBody } from '../oci/distribution.ts';
import type { Requester } from './clients.ts';
import { HOST_STALL_MS, REMOTE_STALL_MS } from './constants.ts';

/** One request on its way through the registry. The functions below write its answer. */
export interface Call extends Omit<Requester, 'release'> {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Which part of a blob is asked for, and in which form. */
export interface BlobSelection {
  /** Undefined: the whole blob, or several ranges. */
  readonly spec: RangeSpec | undefined;
  /** The ranges, when there are several; otherwise undefined. */
  readonly several?: readonly RangeSpec[] | undefined;
  /** Answer 206, also when the range turns out to be the whole blob. */
  readonly isPartial: boolean;
  readonly isHead: boolean;
}

/** What the head of an answer with a blob says. */
export interface BlobHead {
  readonly registry: string;
  readonly digest: Digest;
  /** Size of the whole blob in bytes. */
  readonly size: number;
  readonly range: ByteRange;
  readonly isPartial: boolean;
  readonly mediaType: string;
}

/** The field of log lines that names content: a digest, or a tag with its repository. */
export function nameFieldOf(key: string): { readonly digest?: string; readonly tag?: string } {
  return isDigest(key) ? { digest: key } : { tag: key };
}

export type Headers = Readonly<Record<string, string | number>>;

/** True when the request may be answered from the fleet; other requests get local content only. */
export function isMirrored({ role }: Call): boolean {
  return role === 'host' || role === 'client';
}

/** The field of log lines that names a client on another host; nothing for this host. */
export function clientOf({ role, address }: Call): { readonly client?: string } {
  return role === 'client' ? { client: address } : {};
}

/** Answers with a body that is in memory; answers HEAD with its headers only. */
export function sendWhole(
  call: Call,
  status: number,
  headers: Headers,
  body: string | Buffer,
): void {
  if (call.signal.aborted) return;
  const length = Buffer.byteLength(body);
  call.response.writeHead(status, { ...headers, 'Content-Length': length });
  call.response.end(call.request.method === 'HEAD' ? undefined : body);
}

/** Answers with an error in the form of the OCI distribution-spec. */
export function sendError(
  call: Call,
  status: number,
  code: OciErrorCode,
  message: string,
  more: { readonly detail?: unknown; readonly headers?: Headers } = {},
): void {
  const headers = { 'Content-Type': 'application/json', ...more.headers };
  sendWhole(call, status, headers, ociErrorBody(code, message, more.detail));
}

/** Answers a request that is not mirrored: this host does not have the content. */
export function sendNotHere(call: Call, code: OciErrorCode, key: string): void {
  call.refusal?.log();
  const why = call.refusal === undefined ? '' : `; ${call.refusal.reason}`;
  sendError(call, 404, code, `${key} is not on this host${why}`);
}

/**
 * Answers that neither this host nor the fleet has the content. Logged as information, not as an
 * error: containerd goes on to the upstream.
 */
export function sendMiss(call: Call, code: OciErrorCode, key: string, miss: Miss): void {
  if (call.signal.aborted) return;
  const { reason, tried } = miss;
  call.log.info('not found', { ...nameFieldOf(key), reason, tried, ...clientOf(call) });
  // containerd does not read the body of a 404, and Go may close a connection for that: the next
  // layer costs a new one.
  if (call.isHostsContainerd) sendWhole(call, 404, {}, '');
  else sendError(call, 404, code, `spegel: ${reason}`, { detail: { key, tried } });
}

/** Answers that none of the bytes that are asked for exist in a blob of `size` bytes. */
export function sendUnsatisfiable(call: Call, size: number): void {
  const headers = { 'Content-Range': `bytes */${size}` };
  sendError(call, 416, 'UNSUPPORTED', `the blob has ${size} bytes`, { headers });
}

/** Writes the head of an answer with a blob or a part of it. */
export function writeBlobHead(call: Call, head: BlobHead): void {
  const { registry, digest, size, range, mediaType } = head;
  // An empty blob has no range that a Content-Range could name.
  const isPartial = head.isPartial && size > 0;
  call.response.writeHead(isPartial ? 206 : 200, {
    'Content-Type': mediaType,
    'Content-Length': range.end - range.start,
    ...(isPartial ? { 'Content-Range': formatContentRange(range, size) } : {}),
    ...blobHeaders(registry, digest),
  });
}

/** Writes the head of an answer with several parts of a blob. */
export function writeMultipartHead(
  call: Call,
  { registry, digest }: Pick<BlobHead, 'registry' | 'digest'>,
  { contentType, length }: Multipart,
): void {
  call.response.writeHead(206, {
    'Content-Type': contentType,
    'Content-Length': length,
    ...blobHeaders(registry, digest),
  });
}

function blobHeaders(registry: string, digest: Digest): Headers {
  return {
    'Accept-Ranges': 'bytes',
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'OCI-Namespace': registry,
  };
}

/**
 * Sends a body of `length` bytes, and closes it. Ends the connection cleanly when the body stops
 * early. Never rejects.
 */
export async function sendBody(
  call: Call,
  body: Body,
  length: number,
): Promise<{ readonly written: number; readonly result: 'complete' | 'cut' | 'aborted' }> {
  const stallMs = call.role === 'host' ? HOST_STALL_MS : REMOTE_STALL_MS;
  const out = new BodyWriter(call.response, call.request.socket, stallMs);
  try {
    await pump(body, length, out);
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
