import {
  type NetworkKey,
  type NetworkKeys,
  networkKey,
} from '../../lib/network-key/network-key.ts';

/** Bytes of a key that is good for tests only. */
export function keyBytes(seed: number): Buffer {
  return Buffer.alloc(32, seed);
}

/** Keys that a test changes, by their seeds: the first is used, all are accepted. */
export class TestKeys implements NetworkKeys {
  #keys: readonly [NetworkKey, ...NetworkKey[]];
  readonly #listeners: (() => void)[] = [];

  constructor(first: number, ...more: number[]) {
    this.#keys = keysOf(first, more);
  }

  accepted(): readonly [NetworkKey, ...NetworkKey[]] {
    return this.#keys;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  set(first: number, ...more: number[]): void {
    this.#keys = keysOf(first, more);
    for (const listener of this.#listeners) listener();
  }
}

function keysOf(first: number, more: readonly number[]): readonly [NetworkKey, ...NetworkKey[]] {
  const [one, ...others] = [first, ...more].map((seed) => networkKey(keyBytes(seed)));
  if (one === undefined) throw new Error('no key');
  return [one, ...others];
}
