/** Writes the directory of a content store as containerd does, without a containerd. */
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { silentLogger } from '../../../lib/base/log.ts';
import {
  IngestContent,
  type IngestSettings,
} from '../../../lib/containerd/ingest/ingest-content.ts';
import { IngestDirectory } from '../../../lib/containerd/ingest/ingest-directory.ts';
import { IngestJudge, type IngestJudgeParts } from '../../../lib/containerd/ingest/ingest-judge.ts';
import { SharedNamespaces } from '../../../lib/containerd/namespaces.ts';
import { type Digest, digestOf, hexOf } from '../../../lib/oci/digest.ts';
import { OpenFiles } from '../../../lib/store/open-files.ts';

/** Makes a content store below a directory, and removes it after the test. */
export function makeRoot(t: TestContext, below = tmpdir()): string {
  const root = mkdtempSync(join(below, 'spegel-ingest-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'ingest'));
  mkdirSync(join(root, 'blobs/sha256'), { recursive: true });
  return root;
}

/** The parts that share and judge ingests. They stop with the test. */
export function partsOf(
  t: TestContext,
  root: string,
  settings: IngestSettings = {},
  namespaces: readonly string[] = ['k8s.io'],
): { readonly content: IngestContent; readonly judge: IngestJudge } {
  const ingests = new IngestDirectory();
  const judge = judgeOf(t, root, { ingests });
  const files = new OpenFiles();
  t.after(() => files.close());
  const shared = new SharedNamespaces(namespaces);
  const parts = { namespaces: shared, ingests, judge, files, root: () => root };
  const content = new IngestContent(parts, settings);
  t.after(() => content.stop());
  return { content, judge };
}

export function contentOf(...args: Parameters<typeof partsOf>): IngestContent {
  return partsOf(...args).content;
}

/** A judge without a containerd that discards. */
export function judgeOf(
  t: TestContext,
  root: string | undefined,
  parts: Partial<IngestJudgeParts> = {},
): IngestJudge {
  const judge = new IngestJudge({
    ingests: new IngestDirectory(),
    root: () => root,
    discard: async () => {},
    log: silentLogger,
    ...parts,
  });
  t.after(() => judge.stop());
  return judge;
}

export interface FakeShape {
  /** The digest that the ref names. */
  readonly digest?: Digest;
  readonly namespace?: string;
  readonly kind?: string;
  /** Null: the file is not written. */
  readonly total?: string | null;
  /**
   * containerd counts anew for each ref, so a second ingest may have the directory of the first.
   */
  readonly number?: number;
}

let counter = 0;

/** An ingest: the files that containerd makes, in its order. */
export class FakeIngest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly dir: string;
  readonly data: string;
  readonly #blob: string;
  #written = 0;

  constructor(root: string, bytes: Buffer = randomBytes(100_000), shape: FakeShape = {}) {
    const { namespace = 'k8s.io', kind = 'layer', total = String(bytes.length), number } = shape;
    this.bytes = bytes;
    this.digest = shape.digest ?? digestOf(bytes);
    if (number === undefined) counter += 1;
    const ref = `${namespace}/${number ?? counter}/${kind}-${this.digest}`;
    this.dir = join(root, 'ingest', createHash('sha256').update(ref).digest('hex'));
    this.data = join(this.dir, 'data');
    this.#blob = join(root, 'blobs/sha256', hexOf(this.digest));
    mkdirSync(this.dir);
    writeFileSync(join(this.dir, 'ref'), ref);
    writeFileSync(join(this.dir, 'startedat'), new Date().toISOString());
    this.close();
    if (total !== null) writeFileSync(join(this.dir, 'total'), total);
    writeFileSync(this.data, '');
  }

  /** Appends the next bytes. */
  grow(count: number): this {
    appendFileSync(this.data, this.bytes.subarray(this.#written, this.#written + count));
    this.#written += count;
    return this;
  }

  /** Closes the writer as containerd does. */
  close(): void {
    writeFileSync(join(this.dir, 'updatedat'), new Date().toISOString());
  }

  commit(): void {
    renameSync(this.data, this.#blob);
    this.abort();
  }

  abort(): void {
    rmSync(this.dir, { recursive: true });
  }

  /** Writes the blob that another ingest of the same content became. */
  writeBlob(bytes = this.bytes): void {
    writeFileSync(this.#blob, bytes);
  }
}

/** Descriptors of this process for files below a directory. */
export function openBelow(root: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(root) ? [path] : [];
    } catch {
      return [];
    }
  });
}
