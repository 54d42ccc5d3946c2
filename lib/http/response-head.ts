import { AVAILABLE_HEADER, PEER_HEADER } from '../base/spegel-headers.ts';
import { KEPT_MARGIN_MS, KEPT_MS, MAX_RESPONSE_HEAD_BYTES } from './constants.ts';
import { PeerFailure } from './peer-failure.ts';

/** The head of a peer's answer. Header names are in lower case. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** Of the body, in bytes. */
  readonly contentLength: number;
}

const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
/** Blanks around a value are in its group: beside it, they took cubic time on a line of blanks. */
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)$/;
const CONTENT_LENGTH = /^\d{1,15}$/;

/** Headers that must not come twice: two readers of the head could choose two different values. */
const SINGLE = [
  'content-length',
  'content-range',
  'docker-content-digest',
  PEER_HEADER.toLowerCase(),
];

/**
 * Parses the head of an HTTP/1.1 response, status line and fields without the empty line (RFC
 * 9112). Undefined for a 1xx, folded lines, a transfer coding, a content coding, a body without a
 * length, and anything malformed. Strict, because other hosts send it and it decides what
 * containerd gets.
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
  if (!CONTENT_LENGTH.test(length)) return undefined;
  return { status: Number(status), headers, contentLength: Number(length) };
}

const KEEP_ALIVE_TIMEOUT = /(?:^|[,;])[ \t]*timeout[ \t]*=[ \t]*"?(\d{1,9})\b/i;
const CLOSE = /(?:^|,)[ \t]*close[ \t]*(?:,|$)/i;

/** Whether the peer that sent this answer still downloads the content itself. */
export function isInflightAnswer({ headers }: ResponseHead): boolean {
  return headers.has(AVAILABLE_HEADER.toLowerCase());
}

/** How many milliseconds the connection may be kept behind this answer; 0: it ends. */
export function keptMsOf({ headers }: ResponseHead): number {
  if (CLOSE.test(headers.get('connection') ?? '')) return 0;
  const [, seconds] = KEEP_ALIVE_TIMEOUT.exec(headers.get('keep-alive') ?? '') ?? [];
  if (seconds === undefined) return KEPT_MS;
  return Math.max(0, Math.min(KEPT_MS, Number(seconds) * 1_000 - KEPT_MARGIN_MS));
}

/** Finds the head in the first bytes of a connection, however they are cut into pieces. */
export class HeadReader {
  #bytes: Buffer = Buffer.alloc(0);

  /**
   * Takes the next piece. Returns undefined while the head is incomplete; then the head and the
   * rest of the piece, which is the start of the body. Throws PeerFailure `invalid` when the head
   * is too long or malformed.
   */
  push(piece: Uint8Array): { readonly head: ResponseHead; readonly rest: Uint8Array } | undefined {
    const before = this.#bytes.byteLength;
    this.#bytes = Buffer.concat([this.#bytes, piece.subarray(0, MAX_RESPONSE_HEAD_BYTES - before)]);
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (end === -1) {
      if (this.#bytes.byteLength < MAX_RESPONSE_HEAD_BYTES) return undefined;
      throw new PeerFailure('invalid', `the head is longer than ${MAX_RESPONSE_HEAD_BYTES} bytes`);
    }
    const head = parseResponseHead(this.#bytes.subarray(0, end));
    if (head === undefined) throw new PeerFailure('invalid', 'malformed or chunked answer');
    return { head, rest: piece.subarray(end + 4 - before) };
  }
}
