import { xsalsa20 } from '@noble/ciphers/salsa.js';

export const NONCE_BYTES = 24;
const BLOCK_BYTES = 64;

/**
 * XSalsa20 over a stream that comes in pieces. It does not use the package of @libp2p/pnet, whose
 * instances share a memory that is never freed: after 10,230 connections, including those of
 * strangers, every further one fails.
 */
export class KeyStream {
  readonly #key: Uint8Array;
  readonly #nonce: Uint8Array;
  /** Bytes that were encrypted or decrypted so far. */
  #position = 0;

  constructor(key: Uint8Array, nonce: Uint8Array) {
    this.#key = key;
    this.#nonce = nonce;
  }

  /** Encrypts or decrypts the next bytes. Throws after 256 GiB. */
  xor(bytes: Uint8Array): Uint8Array {
    const before = this.#position % BLOCK_BYTES;
    const block = (this.#position - before) / BLOCK_BYTES;
    const padded = new Uint8Array(before + bytes.byteLength);
    padded.set(bytes, before);
    this.#position += bytes.byteLength;
    return xsalsa20(this.#key, this.#nonce, padded, undefined, block).subarray(before);
  }
}
