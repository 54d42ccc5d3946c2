import { messageOf } from '../base/errors.ts';
import { type Body, pump } from '../http/body.ts';
import { BodyWriter } from '../http/body-writer.ts';
import type { Multipart } from '../http/multipart.ts';
import { type ByteRange, formatContentRange, type RangeSpec } from '../http/ranges.ts';
import type { Digest } from '../oci/digest.ts';
import { type Call, type Headers, sendError } from './call.ts';

/** What of a blob is asked for, and how it is to be answered. */
export interface Wanted {
  /** Undefined: the whole, or several ranges. */
  readonly spec: RangeSpec | undefined;
  /** The ranges, when there are several; otherwise undefined. */
  readonly several?: readonly RangeSpec[] | undefined;
  /** 206, also when the range turns out to be everything. */
  readonly isPartial: boolean;
  readonly isHead: boolean;
}

/** What is answered of which whole. */
export interface Answered {
  readonly registry: string;
  readonly digest: Digest;
  /** Size of the whole blob in bytes. */
  readonly size: number;
  readonly range: ByteRange;
  readonly isPartial: boolean;
  readonly mediaType: string;
}

/** Writes the head of an answer with a blob or a part of it. */
export function writeHead(call: Call, answered: Answered): void {
  const { registry, digest, size, range, mediaType } = answered;
  // No range can be satisfied by nothing.
  const isPartial = answered.isPartial && size > 0;
  call.response.writeHead(isPartial ? 206 : 200, {
    'Content-Type': mediaType,
    'Content-Length': range.end - range.start,
    ...(isPartial ? { 'Content-Range': formatContentRange(range, size) } : {}),
    ...fieldsOf(registry, digest),
  });
}

/** Writes the head of an answer with several parts of a blob. */
export function writeMultipartHead(
  call: Call,
  { registry, digest }: Pick<Answered, 'registry' | 'digest'>,
  { contentType, length }: Multipart,
): void {
  call.response.writeHead(206, {
    'Content-Type': contentType,
    'Content-Length': length,
    ...fieldsOf(registry, digest),
  });
}

/** Answers that the blob has `size` bytes, and none of those that are asked for. */
export function sendUnsatisfiable(call: Call, size: number): void {
  const headers = { 'Content-Range': `bytes */${size}` };
  sendError(call, 416, 'UNSUPPORTED', `the blob has ${size} bytes`, { headers });
}

function fieldsOf(registry: string, digest: Digest): Headers {
  return {
    'Accept-Ranges': 'bytes',
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'OCI-Namespace': registry,
  };
}

/**
 * Sends a body of `length` bytes; ends the connection cleanly where it stops early. Closes the
 * body, never rejects.
 */
export async function send(
  call: Call,
  body: Body,
  length: number,
): Promise<{ readonly written: number; readonly result: 'complete' | 'cut' | 'aborted' }> {
  const stallMs = call.role === 'host' ? OWN_STALL_MS : STRANGER_STALL_MS;
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

/** CRI gives up after 5 minutes without progress; a containerd that is only frozen finds its body again. */
const OWN_STALL_MS = 10 * 60_000;

/**
 * A peer hands over within a second; one that takes nothing for a minute is gone, or a client that
 * asks anew.
 */
const STRANGER_STALL_MS = 60_000;
