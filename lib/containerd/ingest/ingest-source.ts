import { untilAborted } from '../../base/abortable.ts';
import type { Digest } from '../../oci/digest.ts';
import { FileSource } from '../../store/file-source.ts';
import type { FileStretch, InflightSource, Reader } from '../../store/store.ts';
import type { Ingest } from './ingest.ts';
import type { OpenIngest, OpenIngests } from './open-ingests.ts';

/** An ingest that has just become a blob. All of its bytes are available. */
export class CommittedSource extends FileSource implements InflightSource {
  async available(signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    return this.size;
  }
}

/** An ingest as a source. Its readers hold the file open, not the source. */
export class IngestSource implements InflightSource {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType = undefined;
  readonly #files: OpenIngests;
  readonly #root: string;
  readonly #ingest: Ingest;

  /** `size` is the final size in bytes. */
  constructor(files: OpenIngests, root: string, ingest: Ingest, size: number) {
    this.digest = ingest.digest;
    this.size = size;
    this.#files = files;
    this.#root = root;
    this.#ingest = ingest;
  }

  async available(signal: AbortSignal): Promise<number> {
    const open = await this.#take(signal);
    try {
      return await untilAborted(open.file.available(), signal);
    } finally {
      await open.release();
    }
  }

  /** Rejects when the content is gone, or when too many ingests are open. */
  async open(signal: AbortSignal): Promise<Reader> {
    return new IngestReader(await this.#take(signal), this.size);
  }

  async #take(signal: AbortSignal): Promise<OpenIngest> {
    signal.throwIfAborted();
    const open = await this.#files.take(this.#root, this.#ingest, this.size);
    if (!signal.aborted) return open;
    await open.release();
    throw signal.reason;
  }
}

class IngestReader implements Reader {
  readonly #open: OpenIngest;
  readonly #size: number;
  readonly #closing = new AbortController();

  constructor(open: OpenIngest, size: number) {
    this.#open = open;
    this.#size = size;
  }

  async read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    this.#closing.signal.throwIfAborted();
    const wanted = Math.min(buffer.byteLength, this.#size - position);
    if (wanted <= 0) return 0;
    const within = AbortSignal.any([signal, this.#closing.signal]);
    return this.#open.file.read(buffer, position, wanted, within);
  }

  inFile(): FileStretch | undefined {
    return this.#closing.signal.aborted ? undefined : this.#open.file.inFile();
  }

  /** Also rejects a read that waits for bytes. */
  close(): Promise<void> {
    this.#closing.abort(new Error('reader is closed'));
    return this.#open.release();
  }
}
