import { randomBytes } from 'node:crypto';
import type { ConnectionProtector, MessageStream, MultiaddrConnection } from '@libp2p/interface';
import { byteStream } from '@libp2p/utils';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { LogRateLimit } from '../base/log-rate-limit.ts';
import {
  KEY_HANDSHAKE_MS,
  KEY_WARNING_MS,
  MAX_HANDSHAKE_BYTES,
  MAX_KEY_WARNINGS,
} from './constants.ts';
import { KeyStream, NONCE_BYTES } from './key-stream.ts';
import type { NetworkKey, NetworkKeys } from './network-key.ts';
import { PskStream } from './psk-stream.ts';

/**
 * The first bytes that a dialling peer sends, in Go as in JavaScript: multistream-select's header.
 * The key that decrypts them is the key of the connection.
 */
const HELLO = Buffer.from('\x13/multistream/1.0.0\n');

/** A peer was refused because it has no key or another key. The log names its address. */
class NetworkKeyMismatch extends Error {}

/**
 * libp2p's pre-shared key, compatible with @libp2p/pnet and Go, with keys that may change. Outbound
 * connections use the first key; inbound ones may use any accepted key. A connection ends when its
 * key is no longer accepted.
 */
export class PskProtector implements ConnectionProtector {
  readonly [Symbol.toStringTag] = 'network protector';
  readonly #log: Logger;
  readonly #keys: NetworkKeys;
  readonly #open = new Map<PskStream, NetworkKey>();
  readonly #warnings = new LogRateLimit(KEY_WARNING_MS, MAX_KEY_WARNINGS);

  constructor(parts: { readonly log: Logger; readonly keys: NetworkKeys }) {
    this.#log = parts.log;
    this.#keys = parts.keys;
    this.#keys.onChange(() => this.#endOthers());
  }

  /**
   * Rejects if the peer has no accepted key or does not answer within KEY_HANDSHAKE_MS; libp2p then
   * closes the connection. Of an outbound connection, a wrong key shows only in what follows.
   */
  async protect(
    stream: MessageStream,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<MessageStream> {
    // Always the transport's connection: the upgrader calls this before anything wraps it.
    const connection = stream as MultiaddrConnection;
    const inTime = AbortSignal.timeout(KEY_HANDSHAKE_MS);
    const bounded = signal === undefined ? inTime : AbortSignal.any([signal, inTime]);
    try {
      const { box, key } = await this.#handshake(connection, bounded);
      // The keys may have changed during the handshake.
      if (!this.#isAccepted(key)) throw new Error('the network key has changed');
      this.#open.set(box, key);
      box.addEventListener('close', () => this.#open.delete(box), { once: true });
      return box;
    } catch (error) {
      this.#warn(connection, error);
      throw error;
    }
  }

  async #handshake(
    connection: MultiaddrConnection,
    signal: AbortSignal,
  ): Promise<{ box: PskStream; key: NetworkKey }> {
    const bytes = byteStream(connection, { maxBufferSize: MAX_HANDSHAKE_BYTES });
    const ourNonce = randomBytes(NONCE_BYTES);
    const read = async (count: number) => (await bytes.read({ bytes: count, signal })).subarray();
    // At the same time: the library's dialler sends nothing more until it has our nonce.
    const [theirNonce] = await Promise.all([read(NONCE_BYTES), bytes.write(ourNonce, { signal })]);
    if (HELLO.equals(theirNonce.subarray(0, HELLO.byteLength)))
      throw new NetworkKeyMismatch('without a key');
    const hello = connection.direction === 'inbound' ? await read(HELLO.byteLength) : undefined;
    const key = hello === undefined ? this.#keys.accepted()[0] : this.#keyOf(hello, theirNonce);
    if (key === undefined) throw new NetworkKeyMismatch('with another key');
    bytes.unwrap();
    if (hello !== undefined) connection.unshift(hello);
    const psk = key.dht.export();
    const ciphers = {
      inbound: new KeyStream(psk, theirNonce),
      outbound: new KeyStream(psk, ourNonce),
    };
    return { box: new PskStream(connection, ciphers), key };
  }

  #keyOf(hello: Uint8Array, nonce: Uint8Array): NetworkKey | undefined {
    return this.#keys
      .accepted()
      .find(({ dht }) => HELLO.equals(new KeyStream(dht.export(), nonce).xor(hello)));
  }

  #isAccepted({ dht }: NetworkKey): boolean {
    return this.#keys.accepted().some((key) => key.dht.equals(dht));
  }

  #endOthers(): void {
    for (const [box, key] of this.#open) {
      if (!this.#isAccepted(key)) box.abort(new Error('the network key has changed'));
    }
  }

  #warn({ remoteAddr, direction }: MultiaddrConnection, error: unknown): void {
    const fields = { address: remoteAddr.toString(), direction, error: messageOf(error) };
    this.#log.debug('connection without our network key', fields);
    if (!(error instanceof NetworkKeyMismatch)) return;
    const [, , address = ''] = fields.address.split('/');
    const notTold = this.#warnings.admit(`${address} ${error.message}`);
    if (notTold === undefined) return;
    this.#log.warn(`a host ${error.message} was kept out of the network`, { address, notTold });
  }
}
