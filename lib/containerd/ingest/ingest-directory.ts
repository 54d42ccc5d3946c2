import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import { DIRECTORY_SETTLED_MS, MAX_INGESTS, REF_WAIT_MS } from './constants.ts';
import { Ingest, unlessMissing } from './ingest.ts';

/** The downloads of a containerd, as its directory `ingest/` tells. Each `ref` is read once. */
export class IngestDirectory {
  #root: string | undefined;
  #known = new Map<string, Ingest>();
  /** Directories that are no download of a blob, as far as one could see, and when they were first met. */
  #others = new Map<string, number>();
  /** The directory's mtime at the last listing; undefined when that may not tell of a change. */
  #listed: number | undefined;
  #refreshing: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** Those of a digest, in all namespaces. Rejects when the disk fails. */
  async find(root: string, digest: Digest): Promise<Ingest[]> {
    await this.#refresh(root);
    return [...this.#known.values()].filter((ingest) => ingest.digest === digest);
  }

  /** Milliseconds since any of them was seen to grow. */
  get stalledMs(): number {
    let grewAt = Number.NEGATIVE_INFINITY;
    for (const ingest of this.#known.values()) grewAt = Math.max(grewAt, ingest.grewAt);
    return performance.now() - grewAt;
  }

  /** Many calls at once cost two looks: one that has begun may have missed what is there by now. */
  #refresh(root: string): Promise<void> {
    if (this.#refreshing === undefined) {
      this.#refreshing = this.#list(root).finally(() => {
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

  async #list(root: string): Promise<void> {
    if (root !== this.#root) this.#forget(root);
    const path = join(root, 'ingest');
    const mtime = (await unlessMissing(stat(path)))?.mtimeMs;
    if (mtime === undefined) return this.#forget(root);
    if (mtime !== this.#listed) {
      const settled = Date.now() - mtime > DIRECTORY_SETTLED_MS;
      await this.#readAll(root, (await unlessMissing(readdir(path))) ?? []);
      this.#listed = settled ? mtime : undefined;
    }
    await this.#readLate(root);
  }

  #forget(root: string): void {
    this.#root = root;
    this.#known = new Map();
    this.#others = new Map();
    this.#listed = undefined;
  }

  async #readAll(root: string, listed: readonly string[]): Promise<void> {
    const names = new Set(listed.slice(0, MAX_INGESTS));
    for (const met of [this.#known, this.#others]) {
      for (const name of met.keys()) if (!names.has(name)) met.delete(name);
    }
    for (const name of names) {
      if (!this.#known.has(name) && !this.#others.has(name)) await this.#read(root, name);
    }
  }

  /** Looks again at young directories that had no ref yet. */
  async #readLate(root: string): Promise<void> {
    const now = performance.now();
    for (const [name, met] of this.#others) {
      if (now - met < REF_WAIT_MS) await this.#read(root, name);
    }
  }

  async #read(root: string, name: string): Promise<void> {
    const ingest = await Ingest.read(root, name);
    if (ingest !== undefined) {
      this.#known.set(name, ingest);
      this.#others.delete(name);
    } else if (!this.#others.has(name)) {
      this.#others.set(name, performance.now());
    }
  }
}
