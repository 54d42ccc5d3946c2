/** Content that one host alone has, the upstream neither: who gets it got it from that host. */
import { join } from 'node:path';
import { assertHolds, blobPath, headStatus, untilAdvertised } from '../../lab/fleet/fleet.ts';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';
import { archive } from '../../lab/images/foreign-layouts.ts';
import { type ImageShape, type Layout, makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';

const SMALL = { layers: 2, layerBytes: 32 * 1024, gzip: false };
/** Each look starts a curl. */
const LOOK_MS = 200;

export interface Sole {
  readonly name: string;
  readonly image: Layout;
  /** Named by its digest: no tag has to be asked for. */
  readonly reference: string;
  /** `/v2/…` of each layer, as containerd asks for it. */
  readonly layerPaths: readonly string[];
}

/** Gives a host an image, and waits until it announces it. `name` is unique in the lab. */
export async function giveSole(
  lab: Lab,
  host: LabHost,
  name: string,
  shape: Omit<ImageShape, 'seed'> = SMALL,
): Promise<Sole> {
  const image = await makeImage(join(lab.dir, name), { seed: name, ...shape });
  const file = join(lab.dir, `${name}.tar`);
  await archive(image, file);
  const repository = `sole/${name}`;
  const base = `${lab.upstream.registry}/${repository}`;
  const keys = await host.spegel.metric('spegel_advertised_keys');
  await host.containerd.ctr(['images', 'import', '--base-name', base, file]);
  await untilAdvertised(host, image, keys);
  const layers = image.manifests[0]?.layers ?? [];
  return {
    name,
    image,
    reference: `${base}@${image.digest}`,
    layerPaths: layers.map(({ digest }) => blobPath(lab, repository, digest)),
  };
}

/**
 * Waits until `host` finds all of it, and has its containerd pull it. The time until it was found,
 * in ms.
 */
export async function untilPulled(
  host: LabHost,
  { name, image, layerPaths, reference }: Sole,
  timeoutMs = 90_000,
): Promise<number> {
  const started = performance.now();
  for (const path of layerPaths) {
    const isFound = async () => (await headStatus(host, path)) === 200;
    await waitUntil(`${host.name} finds ${name}`, isFound, { timeoutMs, everyMs: LOOK_MS });
  }
  const foundMs = performance.now() - started;
  await host.containerd.fetch(reference, { timeoutMs: 30_000 });
  await assertHolds(host, image);
  return foundMs;
}

/** Waits until each of these hosts knows exactly so many peers. The time it took, in ms. */
export async function untilPeers(
  hosts: readonly LabHost[],
  count: number,
  timeoutMs = 90_000,
): Promise<number> {
  const started = performance.now();
  for (const host of hosts) {
    const isSo = async () => (await host.spegel.metric('spegel_peers')) === count;
    const left = timeoutMs - (performance.now() - started);
    await waitUntil(`${host.name} knows ${count} peers`, isSo, {
      timeoutMs: Math.max(0, left),
      everyMs: LOOK_MS,
    });
  }
  return performance.now() - started;
}
