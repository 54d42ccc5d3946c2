import type { BodyWriter } from './body-writer.ts';

/** The bytes of an answer. Pulled piece by piece: nothing is read before the client takes it. */
export interface Body {
  /**
   * The next piece, valid until the following call of `next` or `close`; undefined at the end.
   * Rejects when the bytes stop coming before the end. Not to be called while a call is pending.
   */
  next(): Promise<Uint8Array | undefined>;
  /** Frees descriptor, socket and buffers. Idempotent. To be called when no piece is in use. */
  close(): void;
}

/** A body that is in memory already. */
export function wholeBody(bytes: Uint8Array): Body {
  let rest: Uint8Array | undefined = bytes.byteLength === 0 ? undefined : bytes;
  return {
    next() {
      const piece = rest;
      rest = undefined;
      return Promise.resolve(piece);
    },
    close() {
      rest = undefined;
    },
  };
}

/**
 * Reads a body of exactly `length` bytes into memory. Rejects as `next` does, and with RangeError
 * for another length.
 */
export async function collect(body: Body, length: number): Promise<Buffer> {
  const whole = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  for (let piece = await body.next(); piece !== undefined; piece = await body.next()) {
    if (filled + piece.byteLength > length) throw new RangeError(`more than ${length} bytes`);
    whole.set(piece, filled);
    filled += piece.byteLength;
  }
  if (filled !== length) throw new RangeError(`${filled} of ${length} bytes`);
  return whole;
}

/**
 * Writes a body of `length` bytes to the client, each piece before it reads the next one. So memory
 * is bounded by the body's buffers, and a client that does not read stops the source. Rejects when
 * the body ends early or the client is gone; the caller then cuts the answer.
 */
export async function pump(body: Body, length: number, out: BodyWriter): Promise<void> {
  for (let piece = await body.next(); piece !== undefined; piece = await body.next()) {
    await out.write(piece);
  }
  if (out.written !== length) throw new RangeError(`${out.written} of ${length} bytes`);
}
