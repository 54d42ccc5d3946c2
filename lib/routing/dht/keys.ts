import { hash } from 'node:crypto';

/**
 * A place in Kademlia's key space: the first 48 bits, which distinguish any two of a million peers.
 */
export interface KadPoint {
  readonly high: number;
  readonly low: number;
}

const SHA2_256 = 0x12;
const SHA2_256_LENGTH = 32;
/** Length of a key in a DHT message. */
export const MULTIHASH_BYTES = 2 + SHA2_256_LENGTH;
const LOW_BITS = 2 ** 24;

/**
 * The multihash that stands for a key in Go Spegel's DHT messages: that of a CIDv1 (raw, sha2-256)
 * over the text of the key, not over the content that the key names.
 */
export function multihashOf(key: string): Uint8Array {
  const multihash = new Uint8Array(MULTIHASH_BYTES);
  multihash[0] = SHA2_256;
  multihash[1] = SHA2_256_LENGTH;
  multihash.set(hash('sha256', key, 'buffer'), 2);
  return multihash;
}

/**
 * The place of a multihash, of a key or a peer id: sha2-256 of its bytes (libp2p spec kad-dht,
 * "Distance").
 */
export function kadPoint(multihash: Uint8Array): KadPoint {
  const digest = hash('sha256', multihash, 'buffer');
  return { high: digest.readUIntBE(0, 3), low: digest.readUIntBE(3, 3) };
}

/** Just above every distance. */
export const MAX_DISTANCE = 2 ** 48;

/** XOR distance, comparable as a number. */
export function distance(a: KadPoint, b: KadPoint): number {
  return (a.high ^ b.high) * LOW_BITS + (a.low ^ b.low);
}

/** Bytes as a key of a Map, which compares Uint8Arrays by identity. */
export function bytesKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
