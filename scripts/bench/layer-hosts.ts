import { join } from 'node:path';
import { blobPath, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { startAsService } from './as-service.ts';

/** Of an image that goes between two hosts. */
export interface LayerShape {
  /** Seed of its bytes, and its repository below `bench/`. */
  readonly name: string;
  readonly layers?: number;
  readonly layerMiB: number;
}

/** Content that one host has, and the other one finds there. */
export interface Held {
  /** At a registry, with the query that names the upstream. */
  readonly path: string;
  /** Name of its file in `blobsDir`. */
  readonly file: string;
  /** In bytes. */
  readonly size: number;
}

export interface LayerHosts {
  readonly holder: LabHost;
  readonly client: LabHost;
  readonly manifest: Held;
  /** The first one. */
  readonly layer: Held;
  /** All, in order. */
  readonly layers: readonly Held[];
  /** Where the holder's containerd keeps its blobs. */
  readonly blobsDir: string;
}

/** A lab of two hosts whose daemons run as the unit runs them, with default options. */
export async function twoServices(): Promise<Lab> {
  const lab = await Lab.create({ hosts: 2 });
  await startAsService(lab);
  return lab;
}

/** Brings a fresh image to the first host, and waits until the second one finds it there. */
export async function putLayers(
  lab: Lab,
  { name, layers = 1, layerMiB }: LayerShape,
): Promise<LayerHosts> {
  const repository = `bench/${name}`;
  const image = await makeImage(join(lab.dir, name), { seed: name, layers, layerMiB });
  await lab.upstream.push(image, repository);
  const [holder, client] = [lab.host(0), lab.host(1)];
  await holder.containerd.fetch(`${lab.upstream.registry}/${repository}:v1`);
  await untilFound(lab, client, repository, image);
  const held = ({ digest, size }: { digest: string; size: number }): Held => ({
    path: blobPath(lab, repository, digest),
    file: digest.slice('sha256:'.length),
    size,
  });
  const [manifest] = image.manifests;
  const all = manifest?.layers.map(held) ?? [];
  const [layer] = all;
  if (manifest === undefined || layer === undefined) throw new Error(`${name} has no layer`);
  const blob = held(manifest);
  return {
    holder,
    client,
    manifest: { ...blob, path: blob.path.replace('/blobs/', '/manifests/') },
    layer,
    layers: all,
    blobsDir: join(holder.containerd.root, 'io.containerd.content.v1.content/blobs/sha256'),
  };
}
