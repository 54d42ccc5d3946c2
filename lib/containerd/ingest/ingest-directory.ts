import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import { DIRECTORY_SETTLED_MS, MAX_INGESTS, REF_WAIT_MS } from './constants.ts';
import { Ingest, unlessMissing } from './ingest.ts';

/** Lists containerd's ingests from its directory `ingest/`. Reads each `ref` once. */
export class IngestDirectory {
  #root: string | undefined;
  #ingests = new Map<string, Ingest>();
  /**
   * Directories that are not the ingest of a blob, or have no ref yet. The value is when each was
   * first seen.
   */
  #notIngests = new Map<string, number>();
  /**
   * The mtime of the directory at the last listing. Undefined if a later change may have the same
   * mtime.
   */
  #listed: number | undefined;
  #refreshing: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** The ingests of a digest in all namespaces. Rejects when the disk fails. */
  async find(root: string, digest: Digest): Promise<Ingest[]> {
    await this.#refresh(root);
    return [...this.#ingests.values()].filter((ingest) => ingest.digest === digest);
  }

  /** Milliseconds since the last growth of any ingest. */
  get stalledMs(): number {
    let grewAt = Number.NEGATIVE_INFINITY;
    for (const ingest of this.#ingests.values()) grewAt = Math.max(grewAt, ingest.grewAt);
    return performance.now() - grewAt;
  }

  /**
   * Lists the directory. Calls during a listing share the next one, because the running one may
   * miss what is there now.
   */
  #refresh(root: string): Promise<void> {
    if (this.#refreshing === undefined) {
      this.#refreshing = this.#listDirectory(root).finally(() => {
        this.#refreshing = undefined;
      });
      return this.#refreshing;
    }
    this.#next ??= this.#refreshing
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.#refresh(root);
      });
    return this.#next;
  }

  async #listDirectory(root: string): Promise<void> {
    if (root !== this.#root) this.#forget(root);
    const path = join(root, 'ingest');
    const mtime = (await unlessMissing(stat(path)))?.mtimeMs;
    if (mtime === undefined) return this.#forget(root);
    if (mtime !== this.#listed) {
      const isSettled = Date.now() - mtime > DIRECTORY_SETTLED_MS;
      await this.#readAll(root, (await unlessMissing(readdir(path))) ?? []);
      this.#listed = isSettled ? mtime : undefined;
    }
    await this.#readMissingRefs(root);
  }

  #forget(root: string): void {
    this.#root = root;
    this.#ingests = new Map();
    this.#notIngests = new Map();
    this.#listed = undefined;
  }

  async #readAll(root: string, listed: readonly string[]): Promise<void> {
    const names = new Set(listed.slice(0, MAX_INGESTS));
    for (const seen of [this.#ingests, this.#notIngests]) {
      for (const name of seen.keys()) if (!names.has(name)) seen.delete(name);
    }
    for (const name of names) {
      if (!this.#ingests.has(name) && !this.#notIngests.has(name)) await this.#read(root, name);
    }
  }

  /** Reads the ref of new directories that had none yet. */
  async #readMissingRefs(root: string): Promise<void> {
    const now = performance.now();
    for (const [name, seen] of this.#notIngests) {
      if (now - seen < REF_WAIT_MS) await this.#read(root, name);
    }
  }

  async #read(root: string, name: string): Promise<void> {
    const ingest = await Ingest.read(root, name);
    if (ingest !== undefined) {
      this.#ingests.set(name, ingest);
      this.#notIngests.delete(name);
    } else if (!this.#notIngests.has(name)) {
      this.#notIngests.set(name, performance.now());
    }
  }
}
