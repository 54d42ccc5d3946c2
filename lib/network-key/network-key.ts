import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';

/**
 * A key that closes the network, as what it is used for. None can be told from another, so that
 * what leaks in one place opens no other. Key objects print as nothing, in logs too.
 */
export interface NetworkKey {
  /**
   * The pre-shared key of libp2p, 32 bytes: the key as it is in the file, as Go and the library use
   * it.
   */
  readonly dht: KeyObject;
  /** For keyed hashes of requests between peers. */
  readonly http: KeyObject;
  /** Tells keys apart in logs; says nothing of the key. */
  readonly fingerprint: string;
}

/** The keys of a closed network. */
export interface NetworkKeys {
  /**
   * One or two, all accepted; the first is used for what this host begins. Throws before the first
   * are read.
   */
  accepted(): readonly [NetworkKey, ...NetworkKey[]];
  /** `listener` is called after the accepted keys have changed. It must not throw. */
  onChange(listener: () => void): void;
}

export const KEY_BYTES = 32;

/** Derives all uses of a key of KEY_BYTES. */
export function networkKey(secret: Uint8Array): NetworkKey {
  return {
    dht: createSecretKey(secret),
    http: createSecretKey(derive(secret, 'http', KEY_BYTES)),
    fingerprint: derive(secret, 'fingerprint', 4).toString('hex'),
  };
}

function derive(secret: Uint8Array, use: string, bytes: number): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `spegel network ${use} v1`, bytes));
}
