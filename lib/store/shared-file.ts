import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { type FileStatus, statusOf } from '../base/file-status.ts';

// Without O_NONBLOCK, opening a pipe waits for its writer, and takes a thread of the pool for ever.
const HOW = constants.O_RDONLY | constants.O_NONBLOCK;

/** One use of an open file. */
export interface FileUse {
  readonly file: FileHandle;
  /** As it was when the file was opened. */
  readonly status: FileStatus;
  /** To be called once. Resolves when the descriptor is closed, if this was its last use. */
  release(): Promise<void>;
}

/**
 * A file that is opened once and read by several. All reads say their position, so none of them
 * moves another's. Open until `drop` was called and the last use is over.
 */
export class SharedFile {
  readonly #opening: Promise<Omit<FileUse, 'release'>>;
  /** Those that read it, and the one that keeps it for others. */
  #users = 1;
  #isDropped = false;

  constructor(path: string) {
    this.#opening = openNow(path);
  }

  /**
   * Undefined if the file was deleted, replaced or changed since it was opened: its path may name
   * another one. Rejects as open(2) does.
   */
  async use(): Promise<FileUse | undefined> {
    this.#users += 1;
    const opened = await this.#opening;
    if (await isSame(opened)) return { ...opened, release: () => this.#release() };
    await this.#release();
    return undefined;
  }

  /** Closes it with its last use. Idempotent. */
  async drop(): Promise<void> {
    if (this.#isDropped) return;
    this.#isDropped = true;
    await this.#release();
  }

  async #release(): Promise<void> {
    this.#users -= 1;
    if (this.#users === 0) await (await this.#opening).file.close();
  }
}

async function openNow(path: string): Promise<Omit<FileUse, 'release'>> {
  const file = await open(path, HOW);
  try {
    return { file, status: await statusOf(file) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** False also when the file cannot be asked any more: to open it again shows why. */
async function isSame({ file, status }: Omit<FileUse, 'release'>): Promise<boolean> {
  try {
    const { links, size, changedNs } = await statusOf(file);
    return links === status.links && size === status.size && changedNs === status.changedNs;
  } catch {
    return false;
  }
}
