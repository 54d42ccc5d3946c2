import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import { type FilterSettings, passes } from '../oci/filters.ts';
import type { Descriptor, Manifest } from '../oci/manifest.ts';
import { isIndexType } from '../oci/media-types.ts';
import { parseReference, tagKey } from '../oci/reference.ts';
import type { StoreState } from '../store/content-index.ts';
import type { ManifestCache } from '../store/manifest-cache.ts';
import { type BlobLookup, collectReachable } from '../store/reachable-blobs.ts';
import type { ContainerdApi, Content } from './api.ts';
import type { BlobAccess, ContainerdBlob } from './blob-access.ts';
import { LabelFilter, sourcesOf } from './labels.ts';
import type { Image } from './messages.ts';

type State = StoreState<ContainerdBlob>;

/**
 * An index with children of these types is the checkpoint of a container
 * (client/container_checkpoint_opts.go, images/mediatypes.go of containerd). It contains the memory
 * of processes. It has an image record, but other hosts must not get it.
 */
const CHECKPOINT_TYPES = 'application/vnd.containerd.container.';

/** What the labels of a blob say. `unlabelled`: labels may come later, or an image may name it. */
export type ContentFinding = ContainerdBlob | 'absent' | 'unlabelled' | 'filtered';

interface Tag {
  readonly key: string;
  readonly digest: Digest;
  /** Last change of the record, in seconds since 1970. */
  readonly updated: number;
}

/**
 * Reads what containerd shares: content with a label of its source, and content that is reachable
 * from an image record, if the filters accept the name. All methods reject when containerd does not
 * answer.
 */
export class StateReader {
  readonly #api: ContainerdApi;
  readonly #blobs: BlobAccess;
  readonly #manifests: ManifestCache;
  readonly #log: Logger;
  readonly #filters: FilterSettings;
  readonly #labelFilter: LabelFilter;

  constructor(
    parts: { api: ContainerdApi; blobs: BlobAccess; manifests: ManifestCache; log: Logger },
    filters: FilterSettings,
  ) {
    this.#api = parts.api;
    this.#blobs = parts.blobs;
    this.#manifests = parts.manifests;
    this.#log = parts.log;
    this.#filters = filters;
    this.#labelFilter = new LabelFilter(filters);
  }

  /** Reads the whole state. If several namespaces have a tag, the youngest record counts. */
  async readAll(namespaces: Iterable<string>, signal: AbortSignal): Promise<State> {
    const blobs = new Map<Digest, ContainerdBlob>();
    const tags: Tag[] = [];
    for (const namespace of namespaces) {
      const content = await this.#api.content(namespace, signal);
      const images = await this.#api.images(namespace, signal);
      const get = async (digest: Digest) => content.get(digest);
      for (const image of images) {
        tags.push(...(await this.#collect(image, namespace, get, blobs, signal)));
      }
      for (const { digest, size, labels } of content.values()) {
        if (blobs.has(digest) || !this.#labelsPass(labels)) continue;
        blobs.set(digest, { size, mediaType: undefined, namespace });
      }
    }
    this.#manifests.keep(blobs);
    tags.sort((a, b) => a.updated - b.updated);
    return { blobs, tags: new Map(tags.map(({ key, digest }) => [key, digest])) };
  }

  /**
   * Reads one image by the name of its record. The state is empty if the record is gone. `known`:
   * what events have told already, which containerd is not asked for.
   */
  async readImage(
    namespace: string,
    name: string,
    known: (digest: Digest) => ContainerdBlob | undefined,
    signal: AbortSignal,
  ): Promise<State> {
    const blobs = new Map<Digest, ContainerdBlob>();
    const image = await this.#api.image(namespace, name, signal);
    const get = async (digest: Digest) => {
      const blob = known(digest);
      return blob?.namespace === namespace ? blob : this.#api.info(namespace, digest, signal);
    };
    const tags =
      image === undefined ? [] : await this.#collect(image, namespace, get, blobs, signal);
    return { blobs, tags: new Map(tags.map(({ key, digest }) => [key, digest])) };
  }

  /** Reads one blob by its labels. */
  async readContent(
    namespace: string,
    digest: Digest,
    signal: AbortSignal,
    deadlineMs?: number,
  ): Promise<ContentFinding> {
    const content = await this.#api.info(namespace, digest, signal, deadlineMs);
    if (content === undefined) return 'absent';
    if (sourcesOf(content.labels).length === 0) return 'unlabelled';
    if (!this.#labelsPass(content.labels)) return 'filtered';
    return { size: content.size, mediaType: undefined, namespace };
  }

  #labelsPass(labels: Content['labels']): boolean {
    return sourcesOf(labels).some((source) => this.#labelFilter.passes(source));
  }

  /** Adds the blobs that are reachable from an image to `blobs`. Returns its tag, if it has one. */
  async #collect(
    image: Image,
    namespace: string,
    get: (digest: Digest) => Promise<Pick<Content, 'size'> | undefined>,
    blobs: Map<Digest, ContainerdBlob>,
    signal: AbortSignal,
  ): Promise<Tag[]> {
    // CRI also writes records named by a config digest. Their content has another record with a
    // name.
    const name = parseReference(image.name);
    const target = descriptorOf(image);
    if (name === undefined || target === undefined) return [];
    const { registry, repository, tag } = name;
    if (!passes(this.#filters, { registry, repository })) return [];
    const store = this.#blobLookup(namespace, get, signal);
    if (await isCheckpoint(store, target)) return [];
    await collectReachable(store, target, blobs);
    // A name with tag and digest was pulled by its digest. It does not tell what the tag means
    // upstream.
    if (tag === undefined || name.digest !== undefined || !passes(this.#filters, name)) return [];
    const updated = image.updatedAt?.seconds ?? 0;
    return [{ key: tagKey(registry, repository, tag), digest: target.digest, updated }];
  }

  #blobLookup(
    namespace: string,
    get: (digest: Digest) => Promise<Pick<Content, 'size'> | undefined>,
    signal: AbortSignal,
  ): BlobLookup<ContainerdBlob> {
    return {
      blob: async ({ digest, mediaType }) => {
        const content = await get(digest);
        return content && { size: content.size, mediaType, namespace };
      },
      manifest: (digest, blob) => this.#manifest(digest, blob, signal),
    };
  }

  /** Undefined if the manifest cannot be read: it must not hide the other images. */
  async #manifest(
    digest: Digest,
    blob: ContainerdBlob,
    signal: AbortSignal,
  ): Promise<Manifest | undefined> {
    try {
      const find = () => this.#blobs.source(digest, blob);
      return await this.#manifests.get(digest, find, signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#log.warn('cannot read a manifest', { digest, error: messageOf(error) });
      return undefined;
    }
  }
}

function descriptorOf({ target }: Image): Descriptor | undefined {
  if (target === null || !isDigest(target.digest)) return undefined;
  return { digest: target.digest, size: target.size, mediaType: target.mediaType };
}

async function isCheckpoint(
  store: BlobLookup<ContainerdBlob>,
  target: Descriptor,
): Promise<boolean> {
  if (!isIndexType(target.mediaType)) return false;
  const blob = await store.blob(target);
  const index = blob && (await store.manifest(target.digest, blob));
  return index?.children.some((child) => child.mediaType?.startsWith(CHECKPOINT_TYPES)) ?? false;
}
