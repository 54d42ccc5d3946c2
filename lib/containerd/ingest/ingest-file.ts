import { type FileHandle, open, stat } from 'node:fs/promises';
import { untilAborted } from '../../base/abortable.ts';
import { codeOf } from '../../base/errors.ts';
import { type FileStretch, StalledError } from '../../store/store.ts';
import { ABANDONED_LOOK_MS, FILE_LOOK_MS } from './constants.ts';
import { type Ingest, unlessMissing } from './ingest.ts';

export interface IngestFileSettings {
  /**
   * Milliseconds without growth after which waiting readers are rejected. May change at any time.
   */
  readonly stallMs: () => number;
  /** True if the bytes of this ingest were wrong. */
  readonly isBad: () => boolean;
}

interface Waiter {
  readonly position: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * One descriptor of an ingest for all of its readers. A timer looks at the file while a reader
 * waits. A read looks too, at most as often. The descriptor stays valid when containerd renames the
 * file to a blob.
 */
export class IngestFile {
  readonly #ingest: Ingest;
  readonly #blobPath: string;
  readonly #size: number;
  readonly #settings: IngestFileSettings;
  readonly #waiters = new Set<Waiter>();
  #file: FileHandle | undefined;
  #available = 0;
  /** True once the file is the blob. It cannot change any more. */
  #isCommitted = false;
  #failure: Error | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** When the ingest was last checked for a pull that has failed. */
  #checkedAt = Number.NEGATIVE_INFINITY;

  /** `blob` is the path of the file after its commit. `size` is its final size in bytes. */
  constructor(ingest: Ingest, blob: string, size: number, settings: IngestFileSettings) {
    this.#ingest = ingest;
    this.#blobPath = blob;
    this.#size = size;
    this.#settings = settings;
  }

  /** Why the file cannot be read any more; undefined while it can. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** The bytes that can be sent now; undefined: a read looks first what became of the ingest. */
  inFile(): FileStretch | undefined {
    const isFresh = this.#isCommitted || performance.now() - this.#lookedAt < FILE_LOOK_MS;
    if (!isFresh || this.#failure !== undefined || this.#file === undefined) return undefined;
    return { file: this.#file, end: this.#available };
  }

  /** Opens the ingest, or the blob that it has become. Rejects if neither is there. */
  async open(): Promise<void> {
    try {
      this.#file = await open(this.#ingest.dataPath, 'r');
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      await this.#moveToBlob().catch((reason: Error) => this.#fail(reason.message));
    }
    await this.look();
  }

  /** The number of bytes from 0 on that can be read now. Rejects when the content is gone. */
  async available(): Promise<number> {
    await this.look();
    return this.#available;
  }

  /**
   * Reads at least one and at most `wanted` > 0 bytes from `position` < size. Waits for the first.
   */
  async read(
    buffer: Uint8Array,
    position: number,
    wanted: number,
    signal: AbortSignal,
  ): Promise<number> {
    if (!this.#isCommitted && performance.now() - this.#lookedAt >= FILE_LOOK_MS) await this.look();
    while (position >= this.#available) await this.#wait(position, signal);
    const count = Math.min(wanted, this.#available - position);
    const bytesRead = (await this.#file?.read(buffer, 0, count, position))?.bytesRead ?? 0;
    signal.throwIfAborted();
    if (bytesRead === 0) this.#fail('has shrunk');
    if (this.#failure !== undefined) throw this.#failure;
    return bytesRead;
  }

  /** Rejects all waiting readers and closes the descriptor, after a read that is in the kernel. */
  async close(reason: string): Promise<void> {
    this.#fail(reason);
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** Looks at the file. Calls during a look share it. Rejects when the content is gone. */
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
    if (this.#isCommitted || this.#failure !== undefined || this.#file === undefined) return;
    const { size, nlink, mtimeMs } = await this.#file.stat();
    this.#lookedAt = performance.now();
    // A file that became the blob keeps one link. Without a link it was aborted, or another ingest
    // became the blob.
    if (nlink === 0) return this.#moveToBlob();
    if (this.#settings.isBad()) throw new Error('has wrong bytes');
    if (size < this.#available) throw new Error('has shrunk');
    this.#ingest.observe({ size, mtimeMs });
    const grew = size > this.#available;
    this.#available = Math.min(size, this.#size);
    if (this.#available === this.#size) await this.#onFull();
    else if (!grew) await this.#onNoGrowth(mtimeMs);
  }

  /**
   * All bytes are there. Checks whether containerd has committed them; it leaves wrong bytes as
   * they are.
   */
  async #onFull(): Promise<void> {
    if ((await unlessMissing(stat(this.#blobPath)))?.size === this.#size) {
      this.#isCommitted = true;
    }
  }

  /**
   * Rejects waiting readers if the file is stalled or its pull has failed. Others go on reading:
   * the file may grow again.
   */
  async #onNoGrowth(mtimeMs: number): Promise<void> {
    const { stalledMs } = this.#ingest;
    if (this.#waiters.size === 0) return;
    if (stalledMs > this.#settings.stallMs()) {
      const text = `${this.#ingest.digest} has not grown for ${Math.round(stalledMs)} ms`;
      this.#rejectWaiters(new StalledError(text));
    } else if (this.#lookedAt - this.#checkedAt > ABANDONED_LOOK_MS) {
      this.#checkedAt = this.#lookedAt;
      if (!(await this.#ingest.isAbandoned(mtimeMs))) return;
      this.#rejectWaiters(this.#error('was given up: its pull has failed'));
    }
  }

  /** Reads on in the blob, which has the same content in another file. */
  async #moveToBlob(): Promise<void> {
    const blob = await unlessMissing(open(this.#blobPath, 'r'));
    if (blob === undefined) throw new Error('has vanished');
    const { size } = await blob.stat().catch(() => ({ size: -1 }));
    if (size !== this.#size || this.#failure !== undefined) {
      await blob.close();
      throw new Error('has vanished');
    }
    const before = this.#file;
    this.#file = blob;
    this.#available = size;
    this.#isCommitted = true;
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
      if (waiter !== undefined) this.#removeWaiter(waiter);
    });
  }

  #wake(): void {
    for (const waiter of this.#waiters) {
      if (waiter.position < this.#available) this.#removeWaiter(waiter).resolve();
    }
  }

  #removeWaiter(waiter: Waiter): Waiter {
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
    this.#rejectWaiters(this.#failure);
  }

  #error(reason: string): Error {
    return new Error(`${this.#ingest.digest} ${reason}`);
  }

  #rejectWaiters(error: Error): void {
    for (const waiter of this.#waiters) this.#removeWaiter(waiter).reject(this.#failure ?? error);
  }
}
