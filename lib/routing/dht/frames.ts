/** Bytes as libp2p hands them over: an array, or a list of arrays with the same reading methods. */
export interface Chunk {
  readonly byteLength: number;
  subarray(): Uint8Array;
}

/** A longer prefix is a length above every bound that we set. */
const MAX_PREFIX_BYTES = 4;

/**
 * A message with its length before it, as unsigned varint (libp2p spec kad-dht, "RPC messages").
 */
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

/**
 * Cuts a byte stream into messages. Holds at most one incomplete message of `maxBytes` and a chunk.
 *
 * `LengthPrefixedDecoder` of @libp2p/utils 7.4 is not used. It keeps each chunk as an array of its
 * own: a message of 256 KiB that arrives in single bytes holds 60 MB, and ten bytes at the end of a
 * chunk of 4 MiB hold all 4 MiB. It also accepts a prefix of any length and drops empty messages.
 */
export class FrameReader {
  readonly #maxBytes: number;
  /** The incomplete message, and spare room: some peers send single bytes. */
  #kept: Uint8Array = EMPTY;
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Adds bytes and yields every message that is complete. Throws a RangeError when a message
   * announces more than `maxBytes`.
   */
  *push(chunk: Chunk): Generator<Uint8Array, void, undefined> {
    const bytes = this.#append(chunk.subarray());
    let at = 0;
    for (;;) {
      const header = this.#headerOf(bytes, at);
      if (header === undefined) break;
      const end = header.start + header.length;
      if (bytes.length < end) break;
      at = end;
      yield bytes.subarray(header.start, end);
    }
    if (at > 0 || this.#length === 0) this.#keep(bytes.subarray(at));
  }

  /**
   * Returns the kept bytes and the chunk in one array. The array doubles when it is full: a copy
   * for each chunk would take time that grows with the square of their number.
   */
  #append(chunk: Uint8Array): Uint8Array {
    if (this.#length === 0) return chunk;
    const length = this.#length + chunk.length;
    if (length > this.#kept.length) {
      const larger = new Uint8Array(2 * length);
      larger.set(this.#kept.subarray(0, this.#length));
      this.#kept = larger;
    }
    this.#kept.set(chunk, this.#length);
    this.#length = length;
    return this.#kept.subarray(0, length);
  }

  /**
   * Keeps a copy: a slice would hold the whole chunk in memory, and the caller may still read
   * messages in the former array.
   */
  #keep(rest: Uint8Array): void {
    this.#kept = rest.length === 0 ? EMPTY : Uint8Array.from(rest);
    this.#length = rest.length;
  }

  #headerOf(bytes: Uint8Array, at: number): { start: number; length: number } | undefined {
    let length = 0;
    for (let index = 0; at + index < bytes.length; index++) {
      if (index === MAX_PREFIX_BYTES) throw new RangeError('message length is no varint');
      const byte = bytes[at + index] ?? 0;
      length |= (byte & 0x7f) << (7 * index);
      if (length > this.#maxBytes) throw new RangeError(`message of ${length} bytes or more`);
      if (byte < 0x80) return { start: at + index + 1, length };
    }
    return undefined;
  }
}

const EMPTY = new Uint8Array(0);
