import { isDigest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import { parseReference, type Reference } from '../oci/reference.ts';

/** The full name of an image, as ctr, nerdctl and `docker save` write it. */
const IMAGE_NAME = 'io.containerd.image.name';
/**
 * OCI image-spec, annotations.md. umoci and mostly skopeo write only a tag, `skopeo copy …
 * oci:DIR:NAME` a full name.
 */
const REF_NAME = 'org.opencontainers.image.ref.name';

/** An image of a layout. */
export interface LayoutEntry {
  readonly target: Descriptor;
  /** Undefined if its registry is not known: a tag alone is a name within the directory only. */
  readonly name: Reference | undefined;
}

/**
 * Reads an index.json (OCI image-spec, image-layout.md). Leaves out entries that are not
 * descriptors. Undefined if the text is not an index, for example because it is only half written.
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
 * A full reference. Its first part must look like a host, by Docker's rule. Otherwise
 * `library/debian:12` would be an image of a registry `library`.
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
