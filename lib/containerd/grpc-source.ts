import type { Digest } from '../oci/digest.ts';
import type { Blob } from '../store/content-index.ts';
import type { Reader, Source } from '../store/store.ts';
import type { ContainerdClient } from './client.ts';
import { READ_SILENCE_MS } from './constants.ts';
import type { ReadAnswer } from './messages.ts';
import { STREAMS } from './methods.ts';

/** A blob read through containerd's API: where its files cannot be read. 0.4 GB/s at ten times a file's CPU, so second choice. */
export class GrpcSource implements Source {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string | undefined;
  readonly #client: ContainerdClient;
  readonly #namespace: string;
  readonly #onBytes: () => void;

  /** `onBytes` is called with each read that gave some. */
  constructor(
    client: ContainerdClient,
    namespace: string,
    digest: Digest,
    blob: Blob,
    onBytes: () => void = () => {},
  ) {
    this.#client = client;
    this.#namespace = namespace;
    this.#onBytes = onBytes;
    this.digest = digest;
    this.size = blob.size;
    this.mediaType = blob.mediaType;
  }

  async open(signal: AbortSignal): Promise<Reader> {
    signal.throwIfAborted();
    return new GrpcReader(this.#client, this.#namespace, this);
  }

  /** Called by its reader. */
  gave(): void {
    this.#onBytes();
  }
}

const NOTHING = new Uint8Array(0);

/**
 * Keeps one Content.Read stream open and takes it further as long as reads are sequential: a call per read
 * would cost a round trip and a file opened by containerd each. A read elsewhere begins a new stream.
 */
class GrpcReader implements Reader {
  readonly #client: ContainerdClient;
  readonly #namespace: string;
  readonly #source: GrpcSource;
  #stream: AsyncGenerator<ReadAnswer, void, undefined> | undefined;
  #cancel = new AbortController();
  #closed = false;
  #position = 0;
  /** Bytes from #position on that came and were not asked for yet; at most one message. */
  #rest: Uint8Array = NOTHING;

  constructor(client: ContainerdClient, namespace: string, source: GrpcSource) {
    this.#client = client;
    this.#namespace = namespace;
    this.#source = source;
  }

  async read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    if (this.#closed) throw new Error('reader is closed');
    const { size } = this.#source;
    if (position >= size || buffer.byteLength === 0) return 0;
    if (this.#stream === undefined || position !== this.#position) this.#restart(position);
    while (this.#rest.byteLength === 0) this.#rest = await this.#next(signal);
    this.#source.gave();
    const count = Math.min(buffer.byteLength, this.#rest.byteLength, size - position);
    buffer.set(this.#rest.subarray(0, count));
    this.#rest = this.#rest.subarray(count);
    this.#position += count;
    return count;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel.abort(new Error('reader was closed'));
    this.#stream = undefined;
    this.#rest = NOTHING;
  }

  #restart(position: number): void {
    this.#cancel.abort(new Error('reader moved'));
    this.#cancel = new AbortController();
    const request = { digest: this.#source.digest, offset: position, size: 0 };
    const options = { namespace: this.#namespace, signal: this.#cancel.signal };
    this.#stream = this.#client.stream(STREAMS.read, request, options);
    this.#position = position;
    this.#rest = NOTHING;
  }

  /** The next message's bytes. An abort, silence and an early end leave no stream behind. */
  async #next(signal: AbortSignal): Promise<Uint8Array> {
    const { digest, size } = this.#source;
    const cancel = this.#cancel;
    const stop = (reason: unknown) => {
      this.#stream = undefined;
      cancel.abort(reason);
    };
    const onAbort = () => stop(signal.reason);
    const timer = setTimeout(
      () => stop(new Error(`containerd sent nothing of ${digest} for ${READ_SILENCE_MS} ms`)),
      READ_SILENCE_MS,
    );
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const result = await this.#stream?.next();
      cancel.signal.throwIfAborted();
      if (result === undefined || result.done) {
        throw new Error(`containerd ended ${digest} at byte ${this.#position} of ${size}`);
      }
      return result.value.data;
    } catch (error) {
      stop(error);
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }
}
