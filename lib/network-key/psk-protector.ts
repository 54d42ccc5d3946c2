import { randomBytes } from 'node:crypto';
import type { ConnectionProtector, MessageStream, MultiaddrConnection } from '@libp2p/interface';
import { byteStream } from '@libp2p/utils';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { LogRateLimit } from '../base/log-rate-limit.ts';
import { KeyStream, NONCE_BYTES } from './key-stream.ts';
import type { NetworkKey, NetworkKeys } from './network-key.ts';
import { PskStream } from './psk-stream.ts';

/**
 * The first bytes of the dialling side, in Go as in JavaScript: multistream-select's header. The
 * key that decrypts them is the key of the connection.
 */
const HELLO = Buffer.from('\x13/multistream/1.0.0\n');

/**
 * The dialling side gives up after the same time. A silent stranger must not hold a place longer.
 */
const HANDSHAKE_MS = 5_000;

/** The nonce, the header and the first message of Noise have some 300 bytes. */
const MAX_UNREAD_BYTES = 65_536;

/** Strangers may dial without end: the log names MAX_WARNINGS hosts a minute, each once. */
const WARN_MS = 60_000;
const MAX_WARNINGS = 16;

/**
 * A peer was refused because it has another key. The log tells the administrator which host it is.
 */
class NetworkKeyMismatch extends Error {}

/**
 * libp2p's pre-shared key (as @libp2p/pnet and Go), but with keys that change: a connection that we
 * open uses the first, one that others open may use any that is accepted. Connections of a key that
 * is no longer accepted end.
 */
export class PskProtector implements ConnectionProtector {
  readonly [Symbol.toStringTag] = 'network protector';
  readonly #log: Logger;
  readonly #keys: NetworkKeys;
  readonly #open = new Map<PskStream, NetworkKey>();
  readonly #warnings = new LogRateLimit(WARN_MS, MAX_WARNINGS);

  constructor(parts: { readonly log: Logger; readonly keys: NetworkKeys }) {
    this.#log = parts.log;
    this.#keys = parts.keys;
    this.#keys.onChange(() => this.#endOthers());
  }

  /**
   * Rejects when the other side has no key of ours or says nothing for HANDSHAKE_MS; libp2p closes
   * the connection then. The other side of one that we open is found out by what follows.
   */
  async protect(
    stream: MessageStream,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<MessageStream> {
    // The transport's own: the upgrader hands it on before anything else has wrapped it.
    const connection = stream as MultiaddrConnection;
    const inTime = AbortSignal.timeout(HANDSHAKE_MS);
    const bounded = signal === undefined ? inTime : AbortSignal.any([signal, inTime]);
    try {
      const { box, key } = await this.#handshake(connection, bounded);
      // While it shook hands the key may have gone.
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
    const bytes = byteStream(connection, { maxBufferSize: MAX_UNREAD_BYTES });
    const ourNonce = randomBytes(NONCE_BYTES);
    const read = async (count: number) => (await bytes.read({ bytes: count, signal })).subarray();
    // Both at once: the library's dialler says nothing more until it has our nonce.
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
