import { PEER_HEADER } from '../base/spegel-headers.ts';
import { PeerFailure } from './peer-failure.ts';

/** What a peer's answer says before its body. Header names are in lower case. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** Bytes of the body. */
  readonly contentLength: number;
}

const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
/** The blanks around a value are in its group: optional blanks beside it took cubic time on a line full of them. */
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)$/;
const LENGTH = /^\d{1,15}$/;

/** A header that decides over the body must not come twice: two readers could choose two different ones. */
const SINGLE = [
  'content-length',
  'content-range',
  'docker-content-digest',
  PEER_HEADER.toLowerCase(),
];

/**
 * Parses the head of an HTTP/1.1 response, status line and fields without the empty line (RFC 9112). Strict,
 * since it comes from strangers and decides what containerd gets: no 1xx, no folded lines, no transfer
 * coding, no content coding, and a length whenever a body follows. Undefined for everything else.
 */
export function parseResponseHead(bytes: Uint8Array): ResponseHead | undefined {
  const [statusLine = '', ...lines] = Buffer.from(bytes).toString('latin1').split('\r\n');
  const [, status] = STATUS_LINE.exec(statusLine) ?? [];
  if (status === undefined) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, field, value] = HEADER.exec(line) ?? [];
    if (field === undefined || value === undefined) return undefined;
    const name = field.toLowerCase();
    if (headers.has(name) && SINGLE.includes(name)) return undefined;
    if (!headers.has(name)) headers.set(name, value.trim());
  }
  if (headers.has('transfer-encoding')) return undefined;
  if ((headers.get('content-encoding') ?? 'identity') !== 'identity') return undefined;
  const length = headers.get('content-length') ?? (status === '204' || status === '304' ? '0' : '');
  if (!LENGTH.test(length)) return undefined;
  return { status: Number(status), headers, contentLength: Number(length) };
}

/** Peers send some 400 bytes. Node's own limit is the same. */
export const MAX_HEAD_BYTES = 16 * 1024;

/** Finds the head in the first bytes of a connection, however they are cut into pieces. */
export class HeadReader {
  #bytes: Buffer = Buffer.alloc(0);

  /**
   * Takes the next piece. Undefined while the head is not complete; then the head and the rest of the piece,
   * which is the start of the body. Throws PeerFailure `invalid` when it is too long or malformed.
   */
  push(piece: Uint8Array): { readonly head: ResponseHead; readonly rest: Uint8Array } | undefined {
    const before = this.#bytes.byteLength;
    this.#bytes = Buffer.concat([this.#bytes, piece.subarray(0, MAX_HEAD_BYTES - before)]);
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (end === -1) {
      if (this.#bytes.byteLength < MAX_HEAD_BYTES) return undefined;
      throw new PeerFailure('invalid', `the head is longer than ${MAX_HEAD_BYTES} bytes`);
    }
    const head = parseResponseHead(this.#bytes.subarray(0, end));
    if (head === undefined) throw new PeerFailure('invalid', 'malformed or chunked answer');
    return { head, rest: piece.subarray(end + 4 - before) };
  }
}
