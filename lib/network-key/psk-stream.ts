import type { AbortOptions, MultiaddrConnection, StreamMessageEvent } from '@libp2p/interface';
import { AbstractMultiaddrConnection } from '@libp2p/utils';
import type { KeyStream } from './key-stream.ts';

interface Ciphers {
  readonly inbound: KeyStream;
  readonly outbound: KeyStream;
}

type Sendable = Parameters<MultiaddrConnection['send']>[0];

/** A connection encrypted in both directions: the library's BoxMessageStream with our cipher. */
export class PskStream extends AbstractMultiaddrConnection {
  readonly #connection: MultiaddrConnection;
  readonly #ciphers: Ciphers;

  constructor(connection: MultiaddrConnection, ciphers: Ciphers) {
    const { remoteAddr, direction, log } = connection;
    super({ remoteAddr, direction, log: log.newScope('box') });
    this.#connection = connection;
    this.#ciphers = ciphers;
    connection.addEventListener('message', (event) => this.#onMessage(event));
    connection.addEventListener('drain', () => this.onMuxerDrain());
    connection.addEventListener('close', (event) => {
      if (event.error === undefined) this.onTransportClosed();
      else if (event.local === true) this.abort(event.error);
      else this.onRemoteReset();
    });
  }

  /** Catches: a listener that throws would end the process. */
  #onMessage({ data }: StreamMessageEvent): void {
    try {
      this.onData(this.#ciphers.inbound.xor(data.subarray()));
    } catch (error) {
      this.abort(error instanceof Error ? error : new Error(String(error)));
    }
  }

  async sendClose(options?: AbortOptions): Promise<void> {
    await this.#connection.close(options);
  }

  sendData(data: Exclude<Sendable, Uint8Array>): { sentBytes: number; canSendMore: boolean } {
    const canSendMore = this.#connection.send(this.#ciphers.outbound.xor(data.subarray()));
    return { sentBytes: data.byteLength, canSendMore };
  }

  sendReset(error: Error): void {
    this.#connection.abort(error);
  }

  sendPause(): void {
    this.#connection.pause();
  }

  sendResume(): void {
    this.#connection.resume();
  }
}
