import { isDigest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import { parseReference, type Reference } from '../oci/reference.ts';

/** Full name of an image, as ctr, nerdctl and `docker save` write it. */
const IMAGE_NAME = 'io.containerd.image.name';
/** OCI image-spec, annotations.md: a tag alone (umoci, mostly skopeo), or a full name (`skopeo copy … oci:DIR:NAME`). */
const REF_NAME = 'org.opencontainers.image.ref.name';

/** One image of a layout, under a name if it has one. */
export interface LayoutEntry {
  readonly target: Descriptor;
  /** Undefined when nothing says which registry it is from: a bare tag is a name within the directory only. */
  readonly name: Reference | undefined;
}

/**
 * Reads an index.json (OCI image-spec, image-layout.md). Undefined when it is no index: it may be half written.
 * Entries that are no descriptors are left out.
 */
export function parseLayoutIndex(text: string): LayoutEntry[] | undefined {
  const manifests = field(parse(text), 'manifests');
  return Array.isArray(manifests) ? manifests.flatMap(entryOf) : undefined;
}

function entryOf(value: unknown): LayoutEntry[] {
  const digest = field(value, 'digest');
  const size = field(value, 'size');
  const mediaType = field(value, 'mediaType');
  if (typeof digest !== 'string' || !isDigest(digest)) return [];
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return [];
  const type = typeof mediaType === 'string' ? mediaType : undefined;
  const annotations = field(value, 'annotations');
  const names = [field(annotations, IMAGE_NAME), field(annotations, REF_NAME)];
  return [{ target: { digest, size, mediaType: type }, name: names.map(nameOf).find(Boolean) }];
}

/**
 * A full reference. Its first part has to look like a host, by Docker's rule: `library/debian:12` would
 * otherwise be of a registry `library`.
 */
function nameOf(value: unknown): Reference | undefined {
  if (typeof value !== 'string') return undefined;
  const name = parseReference(value);
  return name !== undefined && /[.:]|^localhost$/.test(name.registry) ? name : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function field(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}
