/** Layouts as other tools write them, and as they read them. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../processes/exec.ts';
import type { LabTools } from '../programs/programs.ts';
import type { Blob } from './blobs.ts';
import type { Layout } from './images.ts';

interface Descriptor extends Blob {
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Reads a layout of one plain image that another tool has written. */
async function readLayout(dir: string, tag: string): Promise<Layout> {
  const index = JSON.parse(await readFile(join(dir, 'index.json'), 'utf8')) as {
    manifests: Descriptor[];
  };
  const target = index.manifests.find(
    (one) => one.annotations?.['org.opencontainers.image.ref.name'] === tag,
  );
  if (!target) throw new Error(`${dir} has no tag ${tag}`);
  const text = await readFile(join(dir, 'blobs', ...target.digest.split(':')), 'utf8');
  const { config, layers } = JSON.parse(text) as { config: Blob; layers: Blob[] };
  const { digest, size } = target;
  return { dir, tag, digest, size, manifests: [{ digest, size, config, layers }] };
}

/**
 * As umoci writes it, one layer with the given files' bytes. `dir` must not exist yet. `config`:
 * further words of `umoci config`.
 */
export async function makeWithUmoci(
  tools: LabTools,
  dir: string,
  source: string,
  { tag = 'v1', config = [] }: { tag?: string; config?: readonly string[] } = {},
): Promise<Layout> {
  await run([tools.umoci, 'init', '--layout', dir]);
  await run([tools.umoci, 'new', '--image', `${dir}:${tag}`]);
  await run([tools.umoci, 'insert', '--image', `${dir}:${tag}`, source, '/content']);
  if (config.length > 0) await run([tools.umoci, 'config', '--image', `${dir}:${tag}`, ...config]);
  return readLayout(dir, tag);
}

/** As skopeo writes it: a copy of a layout into `dir`. */
export async function copyWithSkopeo(tools: LabTools, from: Layout, dir: string): Promise<Layout> {
  const args = ['--insecure-policy', 'copy', '--quiet', '--preserve-digests'];
  await run([tools.skopeo, ...args, `oci:${from.dir}:${from.tag}`, `oci:${dir}:${from.tag}`]);
  return readLayout(dir, from.tag);
}

/** The layout as a tar file, for `ctr images import`. */
export async function archive(layout: Layout, file: string): Promise<void> {
  await run(['tar', '-C', layout.dir, '-cf', file, ...(await readdir(layout.dir))]);
}
