/**
 * Images into a plain registry by HTTP: a hundred in the time of which skopeo needs as much for a
 * few.
 */
import assert from 'node:assert/strict';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Layout, makeImage } from '../images/images.ts';
import type { Upstream } from './upstream.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

async function send(method: string, url: string, body?: Buffer, type = '') {
  const headers = { 'content-type': type || 'application/octet-stream' };
  const answer = await fetch(url, { method, headers, ...(body && { body: new Uint8Array(body) }) });
  await answer.arrayBuffer();
  assert.ok(answer.ok, `${method} ${url}: ${answer.status}`);
  return answer;
}

/** Pushes an image of one platform as `repository:<its tag>`. */
export async function quickPush(upstream: Upstream, image: Layout, repository: string) {
  const read = (digest: string) => readFile(join(image.dir, 'blobs', ...digest.split(':')));
  const base = `${upstream.url}/v2/${repository}`;
  const [manifest] = image.manifests;
  assert.ok(manifest);
  for (const { digest } of [manifest.config, ...manifest.layers]) {
    const place = (await send('POST', `${base}/blobs/uploads/`)).headers.get('location');
    const url = new URL(place ?? '', upstream.url);
    url.searchParams.set('digest', digest);
    await send('PUT', url.href, await read(digest));
  }
  await send('PUT', `${base}/manifests/${image.tag}`, await read(image.digest), MANIFEST);
}

/**
 * The same, with config and layers written into the registry's own files: thousands of them in a
 * second.
 */
export async function storeImage(upstream: Upstream, image: Layout, repository: string) {
  const [manifest] = image.manifests;
  assert.ok(manifest);
  const root = join(upstream.storage, 'docker/registry/v2');
  for (const { digest } of [manifest.config, ...manifest.layers]) {
    const [algorithm = '', hex = ''] = digest.split(':');
    const blob = join(root, 'blobs', algorithm, hex.slice(0, 2), hex);
    const link = join(root, 'repositories', repository, '_layers', algorithm, hex);
    await mkdir(blob, { recursive: true });
    await mkdir(link, { recursive: true });
    await copyFile(join(image.dir, 'blobs', algorithm, hex), join(blob, 'data'));
    await writeFile(join(link, 'link'), digest);
  }
  const url = `${upstream.url}/v2/${repository}/manifests/${image.tag}`;
  const [algorithm = '', hex = ''] = image.digest.split(':');
  await send('PUT', url, await readFile(join(image.dir, 'blobs', algorithm, hex)), MANIFEST);
}

/**
 * An image of its own for each repository, without layers: unpacking them is what takes long in a
 * pull.
 */
export async function pushEmptyImages(
  upstream: Upstream,
  dir: string,
  repositories: readonly string[],
): Promise<void> {
  const push = async (repository: string) => {
    const seed = repository.replaceAll('/', '-');
    const small = { layers: 0, seed };
    await quickPush(upstream, await makeImage(join(dir, seed), small), repository);
  };
  await Promise.all(repositories.map(push));
}
