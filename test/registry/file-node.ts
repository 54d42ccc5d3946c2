/** A node whose blobs are files, as those of a real store are. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { TestContext } from 'node:test';
import { type Digest, digestOf } from '../../lib/oci/digest.ts';
import { FileSource, blobPath as filePath } from '../../lib/store/file-source.ts';
import { OpenFiles } from '../../lib/store/open-files.ts';
import type { Source } from '../../lib/store/store.ts';
import { MemoryStore, type Node, startNode } from '../mirror/support.ts';

/** How bytes come from a file to the client. */
export const WAYS = ['sent by the kernel', 'copied'] as const;
export type Way = (typeof WAYS)[number];

export interface OnDisk {
  readonly digest: Digest;
  readonly path: string;
}

export interface FileNode {
  readonly node: Node;
  readonly store: MemoryStore;
  /** What opens the files. */
  readonly opened: OpenFiles;
  /** Writes a blob below `root`. */
  add(root: string, bytes: Uint8Array): Promise<OnDisk>;
  /** Takes a file for a blob of that size, whatever is in it. */
  addFile(path: string, digest: Digest, size: number): void;
}

/** Other content, such as manifests, is in `store`. */
export async function startFileNode(t: TestContext, way: Way): Promise<FileNode> {
  const store = new MemoryStore();
  const files = new Map<Digest, Source>();
  const inMemory = store.source.bind(store);
  store.source = async (digest) => files.get(digest) ?? inMemory(digest);
  const node = await startNode((stop) => t.after(stop), { store });
  const opened = new OpenFiles();
  t.after(() => opened.close());
  const addFile = (path: string, digest: Digest, size: number) => {
    const source = new FileSource(digest, { size, mediaType: undefined }, path, opened);
    files.set(digest, way === 'copied' ? withoutFile(source) : source);
  };
  const add = async (root: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    const path = filePath(root, digest);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
    addFile(path, digest, bytes.byteLength);
    return { digest, path };
  };
  return { node, store, opened, add, addFile };
}

/** The same content, of which only `read` tells. */
function withoutFile(source: Source): Source {
  const { digest, size, mediaType } = source;
  const open: Source['open'] = async (signal) => {
    const reader = await source.open(signal);
    return { read: (...how) => reader.read(...how), close: () => reader.close() };
  };
  return { digest, size, mediaType, open };
}
