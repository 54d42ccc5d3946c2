import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LocalNode } from '../../lab/fleet/local-node.ts';
import { writeBlob } from '../../lab/images/blobs.ts';
import { cpuSeconds, median, printTable, type Row } from './table.ts';

const HOSTS = 6;
const IMAGES = 1_275;
/** Manifest, config, layer and tag of each image. */
const KEYS = 4 * IMAGES;
const REGISTRY = '127.0.0.1:9';
/** Keys asked for from another host, when all are announced. */
const SAMPLE = 100;
/**
 * For the last batches, which are acknowledged within milliseconds, and for what the start left to
 * be done.
 */
const SETTLE_MS = 3_000;

const AIM = { sender: 3, receiver: 2 };

interface Image {
  readonly repository: string;
  readonly manifest: string;
  readonly layer: string;
}

/**
 * Six `spegel registry` on this machine, one of which has many images: CPU of the whole processes,
 * from their start until all keys are with the others. Beside it what Go Spegel was seen to take
 * for the same.
 */
export async function benchSixHosts(command?: readonly string[]): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-bench-'));
  const nodes: LocalNode[] = [];
  try {
    for (let index = 0; index < HOSTS; index += 1) {
      nodes.push(await LocalNode.start(`host-${index}`, directory, nodes.slice(0, 2), command));
    }
    const [holder, ...others] = nodes;
    const asker = others.at(-1);
    if (holder === undefined || asker === undefined) throw new Error('too few hosts');
    await Promise.all(nodes.map((node) => node.until('spegel_peers', HOSTS - 1)));
    const images = await writeImages(holder.layout, IMAGES);
    await holder.until('spegel_advertised_keys', KEYS);
    await sleep(SETTLE_MS);
    const sender = cpuSeconds(holder.pid);
    const receiver = median(others.map(({ pid }) => cpuSeconds(pid)));
    await checkFound(asker, images);
    return [
      row('the host that has them', sender, 15, AIM.sender),
      row('each of the others, median', receiver, 4.4, AIM.receiver),
    ];
  } finally {
    await Promise.all(nodes.map((node) => node.kill('SIGTERM')));
    await rm(directory, { recursive: true, force: true });
  }
}

function row(who: string, ours: number, go: number, aim: number): Row {
  return {
    what: `six hosts, ${KEYS.toLocaleString('en')} keys: CPU of the whole process from its start until the others have them; ${who}`,
    ours: `${ours.toFixed(2)} CPU-s`,
    baseline: `Go Spegel 0.7.4, seen earlier on such a machine: ${go} CPU-s; aim: ${aim}`,
    ratio: `${(go / ours).toFixed(1)} x less, ${ours <= aim ? 'met' : 'not met'}`,
  };
}

/**
 * Images that have nothing in common, of tiny layers. The index comes last and at once, as tools
 * write it.
 */
async function writeImages(layout: string, count: number): Promise<Image[]> {
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
  const images: Image[] = [];
  const manifests: object[] = [];
  for (let index = 0; index < count; index += 1) {
    const repository = `bench/image-${index}`;
    const layer = await writeBlob(layout, `layer ${index}`);
    const config = await writeBlob(
      layout,
      JSON.stringify({ architecture: 'amd64', os: 'linux', index }),
    );
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = await writeBlob(
      layout,
      JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
        layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer }],
      }),
    );
    const name = `${REGISTRY}/${repository}:v1`;
    manifests.push({
      mediaType,
      ...manifest,
      annotations: { 'org.opencontainers.image.ref.name': name },
    });
    images.push({ repository, manifest: manifest.digest, layer: layer.digest });
  }
  const temporary = join(layout, '.index.json');
  await writeFile(temporary, JSON.stringify({ schemaVersion: 2, manifests }));
  await rename(temporary, join(layout, 'index.json'));
  return images;
}

/** Throws unless a sample of the content is found through a host that has none of it. */
async function checkFound(asker: LocalNode, images: readonly Image[]): Promise<void> {
  const step = Math.ceil(images.length / SAMPLE);
  for (let index = 0; index < images.length; index += step) {
    const image = images[index];
    if (image === undefined) break;
    const { repository, layer } = image;
    const url = `${asker.origin}/v2/${repository}/blobs/${layer}?ns=${REGISTRY}`;
    const { status } = await fetch(url, { method: 'HEAD' });
    if (status !== 200) throw new Error(`${url}: expected 200, got ${status}`);
  }
}

if (import.meta.main) {
  const command = process.argv.slice(2);
  printTable(await benchSixHosts(command.length > 0 ? command : undefined));
}
