import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';

/**
 * A key of a closed network, as one key per use. A leak of `http` does not reveal `dht`, which is
 * the key itself. A KeyObject prints nothing of its key, in logs too.
 */
export interface NetworkKey {
  /** The pre-shared key of libp2p: the 32 bytes of the file, as Go and the library use them. */
  readonly dht: KeyObject;
  /** Signs requests between peers. */
  readonly http: KeyObject;
  /** Distinguishes keys in logs without revealing them. */
  readonly fingerprint: string;
}

/** The keys of a closed network. */
export interface NetworkKeys {
  /**
   * One or two keys. All are accepted from peers; this host uses the first for its own connections
   * and requests. Throws before the keys are read for the first time.
   */
  accepted(): readonly [NetworkKey, ...NetworkKey[]];
  /** Calls `listener` after the accepted keys have changed. It must not throw. */
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
