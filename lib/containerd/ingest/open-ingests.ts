import type { Digest } from '../../oci/digest.ts';
import { blobPath } from '../../store/file-source.ts';
import { MAX_OPEN_INGESTS } from './constants.ts';
import type { Ingest } from './ingest.ts';
import { IngestFile, type IngestFileSettings } from './ingest-file.ts';

export interface OpenIngestsSettings extends Pick<IngestFileSettings, 'stallMs'> {
  /** True if the bytes of this digest were wrong. */
  readonly isBad: (digest: Digest) => boolean;
}

interface Entry {
  readonly file: IngestFile;
  readonly opened: Promise<void>;
  users: number;
}

/** Opens each ingest once for all of its readers. Closes the file after the last reader. */
export class OpenIngests {
  readonly #settings: OpenIngestsSettings;
  readonly #entries = new Map<string, Entry>();
  /** All open files, including failed ones that still have readers. */
  readonly #open = new Set<IngestFile>();
  readonly #stopping = new AbortController();

  constructor(settings: OpenIngestsSettings) {
    this.#settings = settings;
  }

  /** True if another reader of this ingest may open it. */
  hasRoom(ingest: Ingest): boolean {
    return this.#entries.has(ingest.dir) || this.#open.size < MAX_OPEN_INGESTS;
  }

  /** Opens an ingest, or shares the open file. Rejects if it is gone or too many are open. */
  async take(root: string, ingest: Ingest, size: number): Promise<OpenIngest> {
    this.#stopping.signal.throwIfAborted();
    // A failed file stays for its readers only. The ingest may have begun anew in the same
    // directory.
    await this.#entries
      .get(ingest.dir)
      ?.file.look()
      .catch(() => {});
    let entry = this.#entries.get(ingest.dir);
    if (entry === undefined || entry.file.failure !== undefined) {
      if (this.#open.size >= MAX_OPEN_INGESTS)
        throw new Error(`${MAX_OPEN_INGESTS} downloads are being read`);
      entry = this.#add(root, ingest, size);
    }
    entry.users += 1;
    const open = new OpenIngest(entry.file, () => this.#release(ingest.dir, entry));
    try {
      await entry.opened;
      return open;
    } catch (error) {
      await open.release();
      throw error;
    }
  }

  /** Rejects all readers and closes all files. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the store was stopped'));
    await Promise.all([...this.#open].map((file) => file.close('is no longer read')));
  }

  #add(root: string, ingest: Ingest, size: number): Entry {
    const { stallMs, isBad } = this.#settings;
    const { digest, dir } = ingest;
    const file = new IngestFile(ingest, blobPath(root, digest), size, {
      stallMs,
      isBad: () => isBad(digest),
    });
    const entry = { file, opened: file.open(), users: 0 };
    this.#entries.set(dir, entry);
    this.#open.add(file);
    return entry;
  }

  async #release(dir: string, entry: Entry): Promise<void> {
    entry.users -= 1;
    if (entry.users > 0) return;
    if (this.#entries.get(dir) === entry) this.#entries.delete(dir);
    this.#open.delete(entry.file);
    await entry.file.close('is no longer read');
  }
}

/** The right of one reader to use an open file. */
export class OpenIngest {
  readonly file: IngestFile;
  readonly #onRelease: () => Promise<void>;
  #released: Promise<void> | undefined;

  constructor(file: IngestFile, onRelease: () => Promise<void>) {
    this.file = file;
    this.#onRelease = onRelease;
  }

  /** Idempotent. */
  release(): Promise<void> {
    this.#released ??= this.#onRelease();
    return this.#released;
  }
}
