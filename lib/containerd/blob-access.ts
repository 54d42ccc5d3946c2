import { codeOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { Blob } from '../store/content-index.ts';
import { blobPath, FileSource, fileSize } from '../store/file-source.ts';
import type { Reader, Source } from '../store/store.ts';
import type { ContainerdClient } from './client.ts';
import { GrpcSource } from './grpc-source.ts';

/** A blob of containerd's content store. */
export interface ContainerdBlob extends Blob {
  /** A namespace that has it: calls of the content API see one namespace only. */
  readonly namespace: string;
}

/** Where containerd keeps its content unless configured otherwise. */
export const DEFAULT_CONTENT_ROOT = '/var/lib/containerd/io.containerd.content.v1.content';

/** Opens blobs: as files of the content store, or over gRPC where the files are not for us to read. */
export class BlobAccess {
  readonly #client: ContainerdClient;
  readonly #log: Logger;
  #root = DEFAULT_CONTENT_ROOT;
  #known = false;
  /** True once a blob was found below the root. Until then a missing file may only mean that it is the wrong root. */
  #proven = false;
  #told = false;

  constructor(client: ContainerdClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  /** Root of the content store; undefined until one was taken. */
  get root(): string | undefined {
    return this.#known ? this.#root : undefined;
  }

  /** Takes a content root that has yet to prove itself: containerd may have come back with another one. */
  useRoot(root: string): void {
    this.#root = root;
    this.#known = true;
    this.#proven = false;
    this.#told = false;
  }

  /**
   * A source for a blob that containerd is known to have; undefined when its file is gone or has another size.
   * Rejects when the disk fails.
   */
  async source(digest: Digest, blob: ContainerdBlob): Promise<Source | undefined> {
    const path = blobPath(this.#root, digest);
    try {
      const size = await fileSize(path);
      if (size !== undefined) this.#proven = true;
      if (size === blob.size) return new FallbackSource(this, digest, blob, path);
      const fields = { path, expected: blob.size, found: size ?? null };
      this.#log.warn('blob file has not the size that containerd names, not served', fields);
      return undefined;
    } catch (error) {
      if (codeOf(error) === 'ENOENT' && this.#proven) return undefined;
      if (!isNotForUs(error)) throw error;
      return this.overGrpc(digest, blob, error);
    }
  }

  /**
   * The second choice; says once per root why it is taken. When it gave bytes: a blob that was
   * deleted meanwhile has no file either, and says nothing about the root.
   */
  overGrpc(digest: Digest, blob: ContainerdBlob, reason: unknown): Source {
    const root = this.#root;
    const tell = () => {
      if (this.#told || this.#root !== root) return;
      this.#told = true;
      const fields = { root, error: reason };
      this.#log.warn('cannot read the content store as files, reading over gRPC instead', fields);
    };
    return new GrpcSource(this.#client, blob.namespace, digest, blob, tell);
  }
}

/** ENOTDIR: the root given is a file. */
function isNotForUs(error: unknown): boolean {
  return ['EACCES', 'EPERM', 'ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '');
}

/** A file that could be seen; whether it may be read is known when it is opened. */
class FallbackSource extends FileSource {
  readonly #access: BlobAccess;
  readonly #blob: ContainerdBlob;

  constructor(access: BlobAccess, digest: Digest, blob: ContainerdBlob, path: string) {
    super(digest, blob, path);
    this.#access = access;
    this.#blob = blob;
  }

  override async open(signal: AbortSignal): Promise<Reader> {
    try {
      return await super.open(signal);
    } catch (error) {
      if (codeOf(error) !== 'EACCES' && codeOf(error) !== 'EPERM') throw error;
      return this.#access.overGrpc(this.digest, this.#blob, error).open(signal);
    }
  }
}
