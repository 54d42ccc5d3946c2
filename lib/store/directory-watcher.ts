import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';

interface Watched {
  readonly inode: string;
  readonly watcher: FSWatcher;
}

/** Tells that something in some directories has changed. It may miss changes: whoever uses it also looks by itself. */
export class DirectoryWatcher {
  readonly #directories: readonly string[];
  readonly #onChange: () => void;
  readonly #log: Logger;
  readonly #watched = new Map<string, Watched>();

  constructor(directories: readonly string[], onChange: () => void, log: Logger) {
    this.#directories = directories;
    this.#onChange = onChange;
    this.#log = log;
  }

  /** Watches the directories that are there now: one may have appeared, or another have taken its name. */
  async refresh(): Promise<void> {
    for (const directory of this.#directories) {
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

  /** Mostly the kernel's limit of watches (ENOSPC). */
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
