import { codeOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { Blob } from '../store/content-index.ts';
import { blobPath, FileSource } from '../store/file-source.ts';
import type { OpenFiles } from '../store/open-files.ts';
import type { Source } from '../store/store.ts';
import type { ContainerdClient } from './client.ts';
import { GrpcSource } from './grpc-source.ts';

/** A blob of containerd's content store. */
export interface ContainerdBlob extends Blob {
  /** A namespace that has the blob. Calls of the content API see one namespace only. */
  readonly namespace: string;
}

/** Where containerd keeps its content by default. */
export const DEFAULT_CONTENT_ROOT = '/var/lib/containerd/io.containerd.content.v1.content';

/**
 * Opens blobs as files of the content store, or over gRPC if this process may not read the files.
 */
export class BlobAccess {
  readonly #client: ContainerdClient;
  readonly #files: OpenFiles;
  readonly #log: Logger;
  #root = DEFAULT_CONTENT_ROOT;
  #isRootKnown = false;
  /** True once a file was found below the root. Until then a missing file may mean a wrong root. */
  #isRootProven = false;
  #hasLogged = false;

  constructor(client: ContainerdClient, files: OpenFiles, log: Logger) {
    this.#client = client;
    this.#files = files;
    this.#log = log;
  }

  /** The root of the content store, or undefined if it is not known yet. */
  get root(): string | undefined {
    return this.#isRootKnown ? this.#root : undefined;
  }

  /**
   * Sets the root of the content store. containerd may have another one after a restart, so files
   * must be found below it before a missing file counts as gone.
   */
  useRoot(root: string): void {
    this.#root = root;
    this.#isRootKnown = true;
    this.#isRootProven = false;
    this.#hasLogged = false;
  }

  /**
   * The source of a blob that containerd has. Undefined if its file is gone or has another size.
   * Rejects when the disk fails.
   */
  async source(digest: Digest, blob: ContainerdBlob): Promise<Source | undefined> {
    const path = blobPath(this.#root, digest);
    try {
      const size = await this.#files.size(path);
      if (size !== undefined) this.#isRootProven = true;
      if (size === blob.size) return new FileSource(digest, blob, path, this.#files);
      const fields = { path, expected: blob.size, found: size ?? null };
      this.#log.warn(
        'the file of a blob has another size than containerd says: it is not served',
        fields,
      );
      return undefined;
    } catch (error) {
      if (codeOf(error) === 'ENOENT' && this.#isRootProven) return undefined;
      if (!isNotReadable(error)) throw error;
      return this.#overGrpc(digest, blob, error);
    }
  }

  /**
   * A source that reads over gRPC. Logs the reason once per root, but only after bytes came: a blob
   * that was deleted meanwhile has no file either, which is no problem of the root.
   */
  #overGrpc(digest: Digest, blob: ContainerdBlob, reason: unknown): Source {
    const root = this.#root;
    const tell = () => {
      if (this.#hasLogged || this.#root !== root) return;
      this.#hasLogged = true;
      const fields = { root, error: reason };
      this.#log.warn('cannot read the content store as files, reading over gRPC instead', fields);
    };
    return new GrpcSource(this.#client, blob.namespace, digest, blob, tell);
  }
}

/** True for files that this process may not read. ENOTDIR: the root is a file. */
function isNotReadable(error: unknown): boolean {
  return ['EACCES', 'EPERM', 'ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '');
}
