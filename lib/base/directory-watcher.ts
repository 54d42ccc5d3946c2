import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { messageOf } from './errors.ts';
import type { Logger } from './log.ts';

interface Watched {
  readonly inode: string;
  readonly watcher: FSWatcher;
}

/** Calls `onChange` when something in its directories changes. It may miss changes: poll, too. */
export class DirectoryWatcher {
  readonly #onChange: () => void;
  readonly #log: Logger;
  readonly #watched = new Map<string, Watched>();

  constructor(onChange: () => void, log: Logger) {
    this.#onChange = onChange;
    this.#log = log;
  }

  /**
   * Watches those of the directories that exist now, and no others. To be called again: a directory
   * may appear, or be replaced by another one of its name.
   */
  async refresh(directories: readonly string[]): Promise<void> {
    for (const [directory, { watcher }] of this.#watched) {
      if (directories.includes(directory)) continue;
      watcher.close();
      this.#watched.delete(directory);
    }
    for (const directory of directories) {
      const inode = await inodeOf(directory);
      if (this.#watched.get(directory)?.inode === inode) continue;
      this.#watched.get(directory)?.watcher.close();
      this.#watched.delete(directory);
      if (inode !== undefined) this.#watch(directory, inode);
    }
  }

  close(): void {
    for (const { watcher } of this.#watched.values()) watcher.close();
    this.#watched.clear();
  }

  #watch(directory: string, inode: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, this.#onChange);
      watcher.on('error', (error) => this.#report(directory, error));
      this.#watched.set(directory, { inode, watcher });
    } catch (error) {
      this.#report(directory, error);
    }
  }

  /** Most often for the kernel's limit of watches (ENOSPC). */
  #report(directory: string, error: unknown): void {
    this.#log.debug('cannot watch a directory', { directory, error: messageOf(error) });
  }
}

async function inodeOf(path: string): Promise<string | undefined> {
  return stat(path).then(
    ({ dev, ino }) => `${dev}:${ino}`,
    () => undefined,
  );
}
