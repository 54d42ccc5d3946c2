/** OCI image layouts, written directly: fast, of any shape, unique by their seed. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Blob, writeBlob, writeLayer } from './blobs.ts';

export const MIB = 1024 * 1024;
const MEDIA = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  artifact: 'application/vnd.spegel.test.volume.v1',
};
const ARTIFACT_LAYER = `${MEDIA.artifact}.layer.tar+gzip`;
/** The two platforms of an index: this machine's first. */
const PLATFORMS =
  process.arch === 'arm64' ? (['arm64', 'amd64'] as const) : (['amd64', 'arm64'] as const);

export interface Manifest extends Blob {
  readonly config: Blob;
  readonly layers: readonly Blob[];
}

export interface Layout {
  readonly dir: string;
  readonly tag: string;
  /** Of what the tag means: a manifest, or an index. */
  readonly digest: string;
  readonly size: number;
  /** One per platform, this machine's first. */
  readonly manifests: readonly Manifest[];
}

export interface ImageShape {
  /** Same seed, same digests; other seed, nothing in common. */
  readonly seed: string;
  readonly layers?: number;
  readonly layerMiB?: number;
  /** For sizes that are no whole MiB; wins over layerMiB. */
  readonly layerBytes?: number;
  /** Of each layer, for layers of several sizes; wins over the number of layers and their size. */
  readonly sizes?: readonly number[];
  readonly gzip?: boolean;
  readonly tag?: string;
  /**
   * Makes an artifact of it that is an image in all else: config and layers have an image's media
   * types.
   */
  readonly artifactType?: string;
  /** Of an artifact's layers. Default: one of its own. */
  readonly layerType?: string;
}

const descriptor = (mediaType: string, blob: Blob) => ({
  mediaType,
  digest: blob.digest,
  size: blob.size,
});

async function openLayout(dir: string): Promise<void> {
  await mkdir(join(dir, 'blobs/sha256'), { recursive: true });
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}

async function closeLayout(
  dir: string,
  shape: ImageShape,
  mediaType: string,
  target: Blob,
  manifests: Manifest[],
): Promise<Layout> {
  const tag = shape.tag ?? 'v1';
  const entry = {
    ...descriptor(mediaType, target),
    annotations: { 'org.opencontainers.image.ref.name': tag },
  };
  await writeFile(
    join(dir, 'index.json'),
    JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.index, manifests: [entry] }),
  );
  return { dir, tag, digest: target.digest, size: target.size, manifests };
}

async function writeManifest(
  dir: string,
  shape: ImageShape,
  architecture: string,
): Promise<Manifest> {
  const equal = shape.layerBytes ?? (shape.layerMiB ?? 1) * MIB;
  const sizes = shape.sizes ?? Array<number>(shape.layers ?? 3).fill(equal);
  const layers = [];
  for (const [i, size] of sizes.entries()) {
    layers.push(
      await writeLayer(dir, {
        seed: `${shape.seed}-${architecture}-${i}`,
        size,
        gzip: shape.gzip ?? true,
      }),
    );
  }
  const config = await writeBlob(
    dir,
    JSON.stringify({
      architecture,
      os: 'linux',
      config: { Labels: { seed: shape.seed } },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    }),
  );
  const manifest = await writeBlob(
    dir,
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      ...(shape.artifactType && { artifactType: shape.artifactType }),
      config: descriptor(MEDIA.config, config),
      layers: layers.map((layer) => descriptor(layer.mediaType, layer)),
    }),
  );
  return { ...manifest, config, layers };
}

/** An image of one platform. */
export async function makeImage(dir: string, shape: ImageShape): Promise<Layout> {
  await openLayout(dir);
  const manifest = await writeManifest(dir, shape, PLATFORMS[0]);
  return closeLayout(dir, shape, MEDIA.manifest, manifest, [manifest]);
}

/** An index of two platforms; a pull on this machine brings the first alone. */
export async function makeIndex(dir: string, shape: ImageShape): Promise<Layout> {
  await openLayout(dir);
  const manifests: Manifest[] = [];
  for (const architecture of PLATFORMS)
    manifests.push(await writeManifest(dir, shape, architecture));
  const index = await writeBlob(
    dir,
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.index,
      manifests: manifests.map((manifest, i) => ({
        ...descriptor(MEDIA.manifest, manifest),
        platform: { os: 'linux', architecture: PLATFORMS[i] },
      })),
    }),
  );
  return closeLayout(dir, shape, MEDIA.index, index, manifests);
}

/** An OCI artifact: config and layers of media types of its own, as OCI volumes have them. */
export async function makeArtifact(dir: string, shape: ImageShape): Promise<Layout> {
  await openLayout(dir);
  const size = shape.layerBytes ?? (shape.layerMiB ?? 1) * MIB;
  const layers: Blob[] = [];
  for (let i = 0; i < (shape.layers ?? 1); i++) {
    layers.push(
      await writeLayer(dir, {
        seed: `${shape.seed}-artifact-${i}`,
        size,
        gzip: shape.gzip ?? true,
      }),
    );
  }
  const config = await writeBlob(dir, JSON.stringify({ seed: shape.seed }));
  const blob = await writeBlob(
    dir,
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      artifactType: MEDIA.artifact,
      config: descriptor(`${MEDIA.artifact}.config+json`, config),
      layers: layers.map((layer) => descriptor(shape.layerType ?? ARTIFACT_LAYER, layer)),
    }),
  );
  const manifest = { ...blob, config, layers };
  return closeLayout(dir, shape, MEDIA.manifest, manifest, [manifest]);
}
