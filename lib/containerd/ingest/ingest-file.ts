import { type FileHandle, open, stat } from 'node:fs/promises';
import { untilAborted } from '../../base/abortable.ts';
import { codeOf } from '../../base/errors.ts';
import { StalledError } from '../../store/store.ts';
import { ABANDONED_LOOK_MS, FILE_LOOK_MS } from './constants.ts';
import { type Ingest, unlessMissing } from './ingest.ts';

export interface IngestFileSettings {
  /** Milliseconds without growth after which nobody waits any longer, as things stand. */
  readonly stallMs: () => number;
  /** Its bytes were wrong. */
  readonly isBad: () => boolean;
}

interface Waiter {
  readonly position: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * The one descriptor of a download, for all who read it. It is looked at by a timer while somebody waits, and by
 * reads at most as often; the descriptor stays good when containerd renames the file to a blob.
 */
export class IngestFile {
  readonly #ingest: Ingest;
  readonly #blob: string;
  readonly #size: number;
  readonly #settings: IngestFileSettings;
  readonly #waiters = new Set<Waiter>();
  #file: FileHandle | undefined;
  #available = 0;
  /** True once the file is the blob: nothing can change any more. */
  #committed = false;
  #failure: Error | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** When it was last asked whether the pull has failed. */
  #askedAt = Number.NEGATIVE_INFINITY;

  /** `blob` is the path that the file will have; `size` in bytes. */
  constructor(ingest: Ingest, blob: string, size: number, settings: IngestFileSettings) {
    this.#ingest = ingest;
    this.#blob = blob;
    this.#size = size;
    this.#settings = settings;
  }

  /** Why nobody can read it any more; undefined while one can. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Opens what is there: the download, or the blob that it has become. Rejects when it is neither. */
  async open(): Promise<void> {
    try {
      this.#file = await open(this.#ingest.dataPath, 'r');
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      await this.#moveToBlob().catch((reason: Error) => this.#fail(reason.message));
    }
    await this.look();
  }

  /** Bytes that can be read now, from 0 on. Rejects when the content is gone. */
  async available(): Promise<number> {
    await this.look();
    return this.#available;
  }

  /** Reads up to `wanted` > 0 bytes from `position` < size on, at least one; waits until there is one. */
  async read(
    buffer: Uint8Array,
    position: number,
    wanted: number,
    signal: AbortSignal,
  ): Promise<number> {
    if (!this.#committed && performance.now() - this.#lookedAt >= FILE_LOOK_MS) await this.look();
    while (position >= this.#available) await this.#wait(position, signal);
    const count = Math.min(wanted, this.#available - position);
    const bytesRead = (await this.#file?.read(buffer, 0, count, position))?.bytesRead ?? 0;
    signal.throwIfAborted();
    if (bytesRead === 0) this.#fail('has shrunk');
    if (this.#failure !== undefined) throw this.#failure;
    return bytesRead;
  }

  /** Ends all who wait and frees the descriptor; a read that the kernel is at is waited for. */
  async close(reason: string): Promise<void> {
    this.#fail(reason);
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** Looks at the file once, however many ask for it meanwhile. Rejects when the content is gone. */
  async look(): Promise<void> {
    this.#looking ??= this.#look()
      .then(
        () => this.#wake(),
        (error: Error) => this.#fail(error.message),
      )
      .finally(() => {
        this.#looking = undefined;
      });
    await this.#looking;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #look(): Promise<void> {
    if (this.#committed || this.#failure !== undefined || this.#file === undefined) return;
    const { size, nlink, mtimeMs } = await this.#file.stat();
    this.#lookedAt = performance.now();
    // Renamed to a blob it keeps its one name. Without a name it was aborted, or another download became the blob.
    if (nlink === 0) return this.#moveToBlob();
    if (this.#settings.isBad()) throw new Error('has wrong bytes');
    if (size < this.#available) throw new Error('has shrunk');
    this.#ingest.observe({ size, mtimeMs });
    const grew = size > this.#available;
    this.#available = Math.min(size, this.#size);
    if (this.#available === this.#size) await this.#full();
    else if (!grew) await this.#still(mtimeMs);
  }

  /** All bytes are there. Bytes that do not hash to the digest are left behind by containerd as they are. */
  async #full(): Promise<void> {
    if ((await unlessMissing(stat(this.#blob)))?.size === this.#size) {
      this.#committed = true;
    }
  }

  /** Not one byte more. It may grow again, so this ends those who wait, not those who read what is there. */
  async #still(mtimeMs: number): Promise<void> {
    const { stalledMs } = this.#ingest;
    if (this.#waiters.size === 0) return;
    if (stalledMs > this.#settings.stallMs()) {
      const text = `${this.#ingest.digest} has not grown for ${Math.round(stalledMs)} ms`;
      this.#turnAway(new StalledError(text));
    } else if (this.#lookedAt - this.#askedAt > ABANDONED_LOOK_MS) {
      this.#askedAt = this.#lookedAt;
      if (!(await this.#ingest.isAbandoned(mtimeMs))) return;
      this.#turnAway(this.#error('was given up: its pull has failed'));
    }
  }

  /** The same content, complete, in another file. */
  async #moveToBlob(): Promise<void> {
    const blob = await unlessMissing(open(this.#blob, 'r'));
    if (blob === undefined) throw new Error('has vanished');
    const { size } = await blob.stat().catch(() => ({ size: -1 }));
    if (size !== this.#size || this.#failure !== undefined) {
      await blob.close();
      throw new Error('has vanished');
    }
    const before = this.#file;
    this.#file = blob;
    this.#available = size;
    this.#committed = true;
    await before?.close();
  }

  #wait(position: number, signal: AbortSignal): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    let waiter: Waiter | undefined;
    const grown = new Promise<void>((resolve, reject) => {
      waiter = { position, resolve, reject };
      this.#waiters.add(waiter);
    });
    this.#timer ??= setTimeout(() => this.#onTimer(), FILE_LOOK_MS);
    return untilAborted(grown, signal).finally(() => {
      if (waiter !== undefined) this.#leave(waiter);
    });
  }

  #wake(): void {
    for (const waiter of this.#waiters) {
      if (waiter.position < this.#available) this.#leave(waiter).resolve();
    }
  }

  #leave(waiter: Waiter): Waiter {
    this.#waiters.delete(waiter);
    if (this.#waiters.size === 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    return waiter;
  }

  #onTimer(): void {
    this.#timer = undefined;
    const again = () => {
      if (this.#waiters.size === 0) return;
      this.#timer ??= setTimeout(() => this.#onTimer(), FILE_LOOK_MS);
    };
    this.look().then(again, again);
  }

  #fail(reason: string): void {
    this.#failure ??= this.#error(reason);
    this.#turnAway(this.#failure);
  }

  #error(reason: string): Error {
    return new Error(`${this.#ingest.digest} ${reason}`);
  }

  #turnAway(error: Error): void {
    for (const waiter of this.#waiters) this.#leave(waiter).reject(this.#failure ?? error);
  }
}
