import { type Digest, isDigest } from './digest.ts';
import {
  DOCKER_MANIFEST,
  isIndexType,
  isManifestType,
  OCI_INDEX,
  OCI_MANIFEST,
} from './media-types.ts';

/**
 * OCI distribution-spec asks registries to accept manifests of at least 4 MiB, and clients push
 * none that are larger.
 */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** The used fields of a descriptor (OCI image-spec, descriptor.md). */
export interface Descriptor {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string | undefined;
}

/** The type of a manifest or index, and what it points to. */
export interface Manifest {
  readonly mediaType: string;
  /** The manifests of an index, or the config and layers of a manifest. */
  readonly children: readonly Descriptor[];
}

/**
 * Parses a manifest or index. The media type is the document's own, or else follows from its
 * fields, because OCI documents may leave it out. Undefined if the bytes are neither, could be
 * taken for both, or are larger than MAX_MANIFEST_BYTES.
 */
export function parseManifest(content: Uint8Array): Manifest | undefined {
  if (content.byteLength > MAX_MANIFEST_BYTES) return undefined;
  const document = parseObject(content);
  if (document === undefined || document.schemaVersion !== 2) return undefined;
  const mediaType = mediaTypeOf(document);
  if (mediaType === undefined) return undefined;
  const isIndex = isIndexType(mediaType);
  if (isAmbiguous(document, isIndex)) return undefined;
  const parts = isIndex
    ? listOf(document.manifests)
    : [document.config, ...listOf(document.layers)];
  return { mediaType, children: parts.flatMap(descriptorOf) };
}

function parseObject(content: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(content).toString('utf8'));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function mediaTypeOf(document: Record<string, unknown>): string | undefined {
  const own = document.mediaType;
  if (typeof own === 'string' && isManifestType(own)) return own;
  if (own !== undefined && own !== null && own !== '') return undefined;
  if (Array.isArray(document.manifests)) return OCI_INDEX;
  if (!isObject(document.config)) return undefined;
  return document.config.mediaType === 'application/vnd.docker.container.image.v1+json'
    ? DOCKER_MANIFEST
    : OCI_MANIFEST;
}

/**
 * True for a document that also has the fields of the other kind. Behind one digest it is one image
 * under the first media type and another image under the second (CVE-2021-41190). containerd
 * refuses it too.
 */
function isAmbiguous(document: Record<string, unknown>, isIndex: boolean): boolean {
  if (!isIndex) return listOf(document.manifests).length > 0;
  return isObject(document.config) || listOf(document.layers).length > 0;
}

function descriptorOf(value: unknown): Descriptor[] {
  if (!isObject(value)) return [];
  const { digest, size, mediaType } = value;
  if (typeof digest !== 'string' || !isDigest(digest)) return [];
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return [];
  return [{ digest, size, mediaType: typeof mediaType === 'string' ? mediaType : undefined }];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
