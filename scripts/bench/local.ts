import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { LocalNode } from '../../lab/fleet/local-node.ts';
import { type Layout, makeImage } from '../../lab/images/images.ts';
import { alternate, cpuSeconds, median, missing, percentile, type Row } from './table.ts';

const REGISTRY = '127.0.0.1:9';
const REPOSITORY = 'bench/blob';
const GB = 1e9;
const LAYER_MIB = 1024;
const ROUNDS = 5;
const MISSES = 200;
const NGINX_PORT = 18_080;

const run = promisify(execFile);
const download = async (url: string) => {
  await run('curl', ['--silent', '--fail', '--output', '/dev/null', url]);
};

/**
 * Rows that need neither root nor containerd: nodes on this machine, on the OCI image layout store.
 */
export async function benchLocal(): Promise<Row[]> {
  if (!existsSync('/usr/bin/curl')) return [missing('transfers on this machine', 'no curl here')];
  const directory = await mkdtemp(join(tmpdir(), 'spegel-bench-'));
  const nodes: LocalNode[] = [];
  try {
    const image = await makeImage(join(directory, 'image'), {
      seed: 'bench',
      layers: 1,
      layerMiB: LAYER_MIB,
      tag: `${REGISTRY}/${REPOSITORY}:v1`,
    });
    const holder = await LocalNode.start('holder', directory, []);
    nodes.push(holder);
    for (const name of ['empty', 'third', 'fourth']) {
      nodes.push(await LocalNode.start(name, directory, [holder]));
    }
    await cp(image.dir, holder.layout, { recursive: true });
    await holder.until('spegel_advertised_keys', 4);
    await Promise.all(nodes.map((node) => node.until('spegel_peers', nodes.length - 1)));
    const empty = nodes[1] as LocalNode;
    return [
      await serving(holder, image, directory),
      await relaying(holder, empty, image),
      await missRow(empty),
    ];
  } finally {
    await Promise.all(nodes.map((node) => node.kill('SIGTERM')));
    await rm(directory, { recursive: true, force: true });
  }
}

function urlOf(node: LocalNode, digest: string): string {
  return `${node.origin}/v2/${REPOSITORY}/blobs/${digest}?ns=${REGISTRY}`;
}

function layerOf(image: Layout): { digest: string; size: number } {
  const layer = image.manifests[0]?.layers[0];
  if (layer === undefined) throw new Error('the image has no layer');
  return layer;
}

async function serving(holder: LocalNode, image: Layout, directory: string): Promise<Row> {
  const what = 'serve a 1 GiB blob from the store, loopback';
  const nginx = '/usr/sbin/nginx';
  if (!existsSync(nginx)) return missing(what, 'no nginx here (apt-get install nginx-light)');
  const layer = layerOf(image);
  const config = join(directory, 'nginx.conf');
  await writeFile(
    config,
    `daemon off; master_process off; pid ${directory}/nginx.pid; error_log ${directory}/nginx.log;
     events {} http { access_log off; sendfile on;
     server { listen 127.0.0.1:${NGINX_PORT}; root ${image.dir}; } }`,
  );
  const server = spawn(nginx, ['-c', config], { stdio: 'ignore' });
  try {
    await sleep(300);
    const file = `http://127.0.0.1:${NGINX_PORT}/blobs/sha256/${layer.digest.slice(7)}`;
    await download(file);
    const before = [cpuSeconds(holder.pid), cpuSeconds(server.pid ?? 0)] as const;
    const ms = await alternate(
      ROUNDS,
      () => download(urlOf(holder, layer.digest)),
      () => download(file),
    );
    const perGb = (spent: number) => spent / ((ROUNDS * layer.size) / GB);
    const ours = perGb(cpuSeconds(holder.pid) - before[0]);
    const theirs = perGb(cpuSeconds(server.pid ?? 0) - before[1]);
    return {
      what,
      ours: `${rate(layer.size, ms.ours)}, ${ours.toFixed(2)} CPU-s/GB`,
      baseline: `nginx (sendfile): ${rate(layer.size, ms.baseline)}, ${theirs.toFixed(2)} CPU-s/GB`,
      ratio: `${(ms.ours / ms.baseline).toFixed(2)} x its time`,
    };
  } finally {
    server.kill('SIGKILL');
  }
}

async function relaying(holder: LocalNode, empty: LocalNode, image: Layout): Promise<Row> {
  const layer = layerOf(image);
  await download(urlOf(empty, layer.digest));
  const before = cpuSeconds(empty.pid);
  const ms = await alternate(
    ROUNDS,
    () => download(urlOf(empty, layer.digest)),
    () => download(urlOf(holder, layer.digest)),
  );
  const cpu = (cpuSeconds(empty.pid) - before) / ((ROUNDS * layer.size) / GB);
  return {
    what: 'the same through a node that has nothing, digest checked on the way',
    ours: `${rate(layer.size, ms.ours)}, ${cpu.toFixed(2)} CPU-s/GB in the relay`,
    baseline: `straight from the peer that has it: ${rate(layer.size, ms.baseline)}`,
    ratio: `${(ms.ours / ms.baseline).toFixed(2)} x its time`,
  };
}

async function missRow(node: LocalNode): Promise<Row> {
  const times: number[] = [];
  for (let i = 0; i < MISSES; i += 1) {
    const digest = `sha256:${i.toString(16).padStart(64, 'a')}`;
    const started = performance.now();
    const answer = await fetch(urlOf(node, digest));
    await answer.arrayBuffer();
    if (answer.status !== 404) throw new Error(`expected 404, got ${answer.status}`);
    times.push(performance.now() - started);
  }
  return {
    what: 'a blob that nobody has, four nodes: time to 404',
    ours: `p50 ${median(times).toFixed(1)} ms, p99 ${percentile(times, 0.99).toFixed(1)} ms`,
    baseline: '',
    ratio: '',
  };
}

function rate(bytes: number, ms: number): string {
  return `${(bytes / GB / (ms / 1000)).toFixed(1)} GB/s`;
}
