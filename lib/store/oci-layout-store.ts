import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { delay, untilAborted } from '../base/abortable.ts';
import { DirectoryWatcher } from '../base/directory-watcher.ts';
import { codeOf, messageOf, SpegelError } from '../base/errors.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { FilterSettings } from '../oci/filters.ts';
import {
  LAYOUT_ABSENT_MS,
  LAYOUT_DEBOUNCE_MS,
  LAYOUT_RESCAN_MS,
  LAYOUT_RETRY_MS,
} from './constants.ts';
import { type Blob, ContentIndex } from './content-index.ts';
import { blobPath, FileSource } from './file-source.ts';
import { type LayoutParts, readLayout, unlessAbsent } from './layout-reader.ts';
import { ManifestCache } from './manifest-cache.ts';
import { OpenFiles } from './open-files.ts';
import type { ContentStore, Source, StoreEvent } from './store.ts';

export interface OciLayoutSettings {
  readonly path: string;
  readonly filters: FilterSettings;
}

/**
 * An OCI image layout (image-spec, image-layout.md), as skopeo and umoci write it. Watches it for
 * changes.
 */
export class OciLayoutStore implements ContentStore, Part {
  readonly #log: Logger;
  readonly #settings: OciLayoutSettings;
  readonly #index = new ContentIndex<Blob>();
  readonly #parts: LayoutParts;
  readonly #directories: readonly string[];
  readonly #watcher: DirectoryWatcher;
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #isPresent = false;
  #problem: string | undefined;
  #hasChanged = false;
  #wake = () => {};

  constructor({ log }: { readonly log: Logger }, settings: OciLayoutSettings) {
    this.#log = log;
    this.#settings = settings;
    this.#parts = { manifests: new ManifestCache(), files: new OpenFiles(0), log };
    this.#directories = [settings.path, join(settings.path, 'blobs', 'sha256')];
    const onChange = () => {
      this.#hasChanged = true;
      this.#wake();
    };
    this.#watcher = new DirectoryWatcher(onChange, log);
  }

  /**
   * Does not wait for the directory. Throws ERR_STORE if its path is not a directory, or may not be
   * read.
   */
  async start(signal: AbortSignal): Promise<void> {
    await checkDirectory(this.#settings.path);
    this.#running = this.#run(AbortSignal.any([signal, this.#stopping.signal]));
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the store was stopped'));
    await this.#running;
    await this.#parts.files.close();
  }

  isReady(): boolean {
    return this.#isPresent;
  }

  watch(signal: AbortSignal): AsyncIterable<StoreEvent> {
    return this.#index.watch(signal);
  }

  async resolve(reference: string, signal: AbortSignal): Promise<Digest | undefined> {
    signal.throwIfAborted();
    return this.#index.resolve(reference);
  }

  /** Rejects with the signal's reason, or as `open` does when the disk fails. */
  async source(digest: Digest, signal: AbortSignal): Promise<Source | undefined> {
    signal.throwIfAborted();
    const blob = this.#index.blob(digest);
    if (blob === undefined) return undefined;
    const path = blobPath(this.#settings.path, digest);
    const { files } = this.#parts;
    // A file of another size is being written anew, or damaged.
    const size = await untilAborted(unlessAbsent(files.size(path)), signal);
    if (size === blob.size) return new FileSource(digest, blob, path, files);
    this.#index.drop(digest);
    return undefined;
  }

  async #run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        this.#hasChanged = false;
        const pause = await this.#read(signal);
        await this.#untilChanged(pause, signal);
      }
    } finally {
      this.#isPresent = false;
      this.#watcher.close();
    }
  }

  /**
   * Reads the layout into the index. Returns the milliseconds until the next read without a change.
   */
  async #read(signal: AbortSignal): Promise<number> {
    try {
      // Watches before it reads. Otherwise a change between the two is missed until the next
      // rescan.
      await this.#watcher.refresh(this.#directories);
      const { filters, path } = this.#settings;
      const found = await readLayout(path, filters, this.#parts, signal);
      if (found === 'broken')
        return this.#retryAfter('index.json is not an image index', LAYOUT_RETRY_MS);
      this.#isPresent = found !== 'absent';
      if (found === 'absent') {
        this.#index.clear();
        return this.#retryAfter('there is no index.json', LAYOUT_ABSENT_MS);
      }
      this.#index.replace(found, 'difference');
      this.#problem = undefined;
      return LAYOUT_RESCAN_MS;
    } catch (error) {
      if (signal.aborted) return 0;
      return this.#retryAfter(messageOf(error), LAYOUT_RETRY_MS);
    }
  }

  /** Logs a problem when it is new. Returns `ms`, after which to try again. */
  #retryAfter(problem: string, ms: number): number {
    if (problem !== this.#problem) {
      const { path } = this.#settings;
      this.#log.warn('cannot read the image layout, trying again', { path, problem });
    }
    this.#problem = problem;
    return ms;
  }

  /** Waits for a change, or for `ms` milliseconds. */
  async #untilChanged(ms: number, signal: AbortSignal): Promise<void> {
    const waiting = new AbortController();
    this.#wake = () => waiting.abort();
    if (!this.#hasChanged) {
      await delay(ms, AbortSignal.any([signal, waiting.signal])).catch(() => {});
    }
    this.#wake = () => {};
    if (this.#hasChanged) await delay(LAYOUT_DEBOUNCE_MS, signal).catch(() => {});
  }
}

async function checkDirectory(path: string): Promise<void> {
  try {
    if ((await stat(path)).isDirectory()) return;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw new SpegelError(
      'ERR_STORE',
      `expected to read the image layout ${path}, got ${codeOf(error)}; check its owner and mode`,
      { cause: error },
    );
  }
  throw new SpegelError(
    'ERR_STORE',
    `expected the directory of an image layout at ${path}, found a file; give its path with --oci-layout-path`,
  );
}
