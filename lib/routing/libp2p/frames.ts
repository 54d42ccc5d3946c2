/** Bytes as libp2p hands them over: an array, or a list of arrays with the same reading methods. */
export interface Chunk {
  readonly byteLength: number;
  subarray(): Uint8Array;
}

/** A length of more bytes than this is no length below any bound that we set. */
const MAX_PREFIX_BYTES = 4;

/** A message with its length in front, as unsigned varint (libp2p spec kad-dht, "RPC messages"). */
export function frame(message: Uint8Array): Uint8Array {
  const prefix: number[] = [];
  let rest = message.length;
  for (; rest > 0x7f; rest >>>= 7) prefix.push((rest & 0x7f) | 0x80);
  prefix.push(rest);
  const framed = new Uint8Array(prefix.length + message.length);
  framed.set(prefix);
  framed.set(message, prefix.length);
  return framed;
}

/** Cuts a byte stream into messages. Holds at most one incomplete message of `maxBytes` and a chunk. */
export class FrameReader {
  readonly #maxBytes: number;
  #buffer: Uint8Array = new Uint8Array(0);

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Adds bytes and yields every message that is complete. Throws when a message announces more than `maxBytes`. */
  *push(chunk: Chunk): Generator<Uint8Array, void, undefined> {
    const bytes = chunk.subarray();
    this.#buffer = this.#buffer.length === 0 ? bytes : Buffer.concat([this.#buffer, bytes]);
    for (;;) {
      const header = this.#header();
      if (header === undefined) return;
      const end = header.start + header.length;
      if (this.#buffer.length < end) return;
      const message = this.#buffer.subarray(header.start, end);
      this.#buffer = this.#buffer.subarray(end);
      yield message;
    }
  }

  #header(): { start: number; length: number } | undefined {
    let length = 0;
    for (let index = 0; index < this.#buffer.length; index++) {
      if (index === MAX_PREFIX_BYTES) throw new RangeError('message length is no varint');
      const byte = this.#buffer[index] ?? 0;
      length |= (byte & 0x7f) << (7 * index);
      if (length > this.#maxBytes) throw new RangeError(`message of ${length} bytes or more`);
      if (byte < 0x80) return { start: index + 1, length };
    }
    return undefined;
  }
}
