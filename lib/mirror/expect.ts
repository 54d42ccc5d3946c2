import { printable } from '../base/printable.ts';
import { PeerFailure } from '../http/peer-failure.ts';
import { type ByteRange, parseContentRange, type RangeSpec, resolveRange } from '../http/ranges.ts';
import type { ResponseHead } from '../http/response-head.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts';

/** A proper "no": the content is gone, the peer is busy, or it has not that range. */
const REFUSALS: readonly number[] = [400, 404, 405, 408, 410, 416, 429, 500, 502, 503, 504];

/** A closed network's answer to a request without its signature. */
const DENIED = 403;

function checkStatus(head: ResponseHead, expected: 200 | 206): void {
  if (head.status === expected) return;
  if (head.status === DENIED) {
    const clock = printable(head.headers.get('date') ?? 'hidden', 40);
    const reason = `its network key is another, or its clock (${clock}) too far from ours`;
    throw new PeerFailure('denied', `status ${DENIED}: ${reason}`);
  }
  const kind = REFUSALS.includes(head.status) ? 'refused' : 'invalid';
  throw new PeerFailure(kind, `status ${head.status}, expected ${expected}`);
}

/** What the head of a peer's answer for a blob promises. */
export interface BlobPromise {
  /** Size of the whole blob in bytes. */
  readonly size: number;
  /** The bytes that the body holds. */
  readonly range: ByteRange;
}

/**
 * Checks the head of a peer's answer for a blob: 200 with the length, or for a range 206 with
 * exactly the bytes that the range means, of a blob of `expected` bytes. Throws PeerFailure.
 * Another size is only `refused`: the liar may be the manifest that names the size, or an earlier
 * peer.
 */
export function checkBlob(
  head: ResponseHead,
  spec: RangeSpec | undefined,
  expected: number | undefined,
): BlobPromise {
  checkStatus(head, spec === undefined ? 200 : 206);
  const promise = spec === undefined ? promiseOfWhole(head) : promiseOfPart(head, spec);
  if (expected !== undefined && promise.size !== expected) {
    throw new PeerFailure('refused', `${promise.size} bytes, expected ${expected}`);
  }
  return promise;
}

function promiseOfWhole(head: ResponseHead): BlobPromise {
  return { size: head.contentLength, range: { start: 0, end: head.contentLength } };
}

function promiseOfPart(head: ResponseHead, spec: RangeSpec): BlobPromise {
  const text = head.headers.get('content-range');
  const told = printable(text ?? 'none');
  const part = parseContentRange(text);
  const wanted = part === undefined ? undefined : resolveRange(spec, part.size);
  if (part === undefined || wanted === undefined) {
    throw new PeerFailure('invalid', `Content-Range ${told}`);
  }
  const { start, end } = part.range;
  if (start !== wanted.start || end !== wanted.end || head.contentLength !== end - start) {
    throw new PeerFailure('invalid', `Content-Range ${told}, Content-Length ${head.contentLength}`);
  }
  return { size: part.size, range: wanted };
}

/**
 * Checks the head of a peer's answer for a manifest. Returns the digest that the body must have:
 * the requested one, or for a tag the one that the peer claims. Throws PeerFailure.
 */
export function checkManifest(head: ResponseHead, digest: Digest | undefined): Digest {
  checkStatus(head, 200);
  if (head.contentLength === 0 || head.contentLength > MAX_MANIFEST_BYTES) {
    throw new PeerFailure('invalid', `a manifest of ${head.contentLength} bytes`);
  }
  const claimed = digest ?? head.headers.get('docker-content-digest') ?? '';
  if (!isDigest(claimed))
    throw new PeerFailure('invalid', `Docker-Content-Digest ${printable(claimed)}`);
  return claimed;
}
