/** What an answer with several ranges must be, byte by byte. */
import assert from 'node:assert/strict';
import { assertSame } from '../mirror/support.ts';

/** First byte, and the byte after the last. */
export type Part = readonly [start: number, end: number];

const CONTENT_TYPE = /^multipart\/byteranges; boundary=([0-9a-f]{32})$/;

/** The boundary that a Content-Type names. */
export function boundaryOf(contentType: string | null): string {
  const [, boundary] = CONTENT_TYPE.exec(contentType ?? '') ?? [];
  assert.ok(boundary, `Content-Type ${contentType}`);
  return boundary;
}

/** The body of RFC 9110, 14.6 for these parts of `bytes`. */
export function multipartBody(boundary: string, bytes: Buffer, parts: readonly Part[]): Buffer {
  const pieces = parts.flatMap(([start, end], index) => [
    Buffer.from(`${index === 0 ? '' : '\r\n'}--${boundary}\r\n`),
    Buffer.from('Content-Type: application/octet-stream\r\n'),
    Buffer.from(`Content-Range: bytes ${start}-${end - 1}/${bytes.byteLength}\r\n\r\n`),
    bytes.subarray(start, end),
  ]);
  return Buffer.concat([...pieces, Buffer.from(`\r\n--${boundary}--\r\n`)]);
}

/** The answer is a 206 with exactly these parts of `bytes`. */
export async function assertParts(
  response: Response,
  bytes: Buffer,
  parts: readonly Part[],
): Promise<void> {
  assert.equal(response.status, 206);
  const boundary = boundaryOf(response.headers.get('content-type'));
  assert.equal(response.headers.get('content-range'), null);
  const body = Buffer.from(await response.arrayBuffer());
  assert.equal(response.headers.get('content-length'), String(body.byteLength));
  assertSame(body, multipartBody(boundary, bytes, parts));
}
