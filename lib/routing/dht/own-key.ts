import { type KadPoint, kadPoint, multihashOf } from './keys.ts';

/** A key that this node announces. */
export interface ProvidedKey {
  readonly multihash: Uint8Array;
  readonly point: KadPoint;
  /** Distance of the farthest peer that was told; a peer that joins nearer than this is to be told too. */
  radius: number;
  /** When it is looked again who is to hold it, on the monotonic clock in ms. */
  measureAt: number;
  isWithdrawn: boolean;
}

export function providedKey(text: string): ProvidedKey {
  const multihash = multihashOf(text);
  return { multihash, point: kadPoint(multihash), radius: 0, measureAt: 0, isWithdrawn: false };
}
