import { randomBytes } from 'node:crypto';
import type { Body } from './body.ts';
import { type ByteRange, formatContentRange } from './ranges.ts';

/** Gets the bytes of one part. Called when that part is next, not before. */
export type OpenPart = (range: ByteRange) => Promise<Body> | Body;

/** The part whose bytes are next, and how many of them are. */
interface CurrentPart {
  body: Body | undefined;
  missing: number;
}

/**
 * Several ranges of one content as one `multipart/byteranges` (RFC 9110, 14.6; RFC 2046, 5.1.1).
 * `ranges`: at least two, in the order of the parts.
 */
export class Multipart {
  readonly #parts: readonly { readonly range: ByteRange; readonly head: Buffer }[];
  readonly #end: Buffer;
  readonly contentType: string;
  /** Bytes of the body, delimiters and heads of the parts included. */
  readonly length: number;

  /** `size` and `mediaType`: those of the whole content. */
  constructor(ranges: readonly ByteRange[], size: number, mediaType: string) {
    // Random, so that nobody can prepare content that has the boundary in it and ends its own part.
    const boundary = randomBytes(16).toString('hex');
    this.#parts = ranges.map((range, index) => {
      const delimiter = `${index === 0 ? '' : '\r\n'}--${boundary}\r\n`;
      const contentRange = formatContentRange(range, size);
      const fields = `Content-Type: ${mediaType}\r\nContent-Range: ${contentRange}\r\n\r\n`;
      return { range, head: Buffer.from(delimiter + fields) };
    });
    this.#end = Buffer.from(`\r\n--${boundary}--\r\n`);
    this.contentType = `multipart/byteranges; boundary=${boundary}`;
    const lengths = this.#parts.map(({ range, head }) => head.length + range.end - range.start);
    this.length = lengths.reduce((sum, length) => sum + length, this.#end.byteLength);
  }

  /**
   * The body. Owns the first part, `first`, and the parts that `open` gets. `next` rejects as the
   * parts and `open` do, and with RangeError for a part that is not as long as its range.
   */
  body(first: Body, open: OpenPart): Body {
    const part: CurrentPart = { body: first, missing: 0 };
    let isClosed = false;
    const close = () => {
      part.body?.close();
      part.body = undefined;
    };
    const pieces = this.#pieces(part, async (range, index) => {
      if (index === 0) return first;
      close();
      const opened = await open(range);
      part.body = opened;
      // Closed while this part was being opened: `close` could not know it.
      if (isClosed) close();
      return opened;
    });
    return {
      async next() {
        const { value } = await pieces.next();
        return value ?? undefined;
      },
      async send(socket) {
        const sent = (await part.body?.send?.(socket)) ?? 0;
        part.missing -= sent;
        return sent;
      },
      close() {
        isClosed = true;
        close();
      },
    };
  }

  async *#pieces(
    current: CurrentPart,
    openPart: (range: ByteRange, index: number) => Promise<Body>,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    for (const [index, { range, head }] of this.#parts.entries()) {
      const part = await openPart(range, index);
      // Before the head: behind it, the kernel may send of the part at once.
      current.missing = range.end - range.start;
      yield head;
      for (let piece = await part.next(); piece !== undefined; piece = await part.next()) {
        current.missing -= piece.byteLength;
        // One byte more or less would shift all that follows to a wrong place in the client's copy.
        if (current.missing < 0) break;
        yield piece;
      }
      if (current.missing !== 0)
        throw new RangeError(`${current.missing} bytes are missing of part ${index}`);
    }
    yield this.#end;
  }
}
