import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { Service } from '../../lab/processes/service.ts';
import { putLayers, twoServices } from './layer-hosts.ts';
import { cpuSeconds, median, missing, type Row } from './table.ts';

const ROUNDS = 5;
const LAYER_MIB = 1024;
const MIB = 1024 * 1024;
const GB = 1e9;
const SERVING_PORT = 8_080;
const RELAY_PORT = 8_081;

/** One way to get the layer: its URL as the client sees it, and the process that works for it. */
interface Way {
  readonly url: string;
  readonly pid: number;
}

interface Aim {
  /** CPU-s per GB at most. */
  readonly cpu: number;
  /** Times the bytes per second of nginx, at least. */
  readonly rate: number;
}

/**
 * What a host pays to serve a layer to its neighbours, and to relay one to its own client, beside
 * nginx: hosts in network namespaces that are joined by veth, MTU 1500, content in the page cache.
 * The client is curl.
 */
export async function benchDataPath(): Promise<Row[]> {
  const reason = await labMissing();
  if (reason !== false) return [missing('serving and relaying over veth', reason)];
  await using lab = await twoServices();
  const { holder, client, layer, blobsDir } = await putLayers(lab, {
    name: 'data-path',
    layerMiB: LAYER_MIB,
  });
  const { path } = layer;
  const file = `/${layer.file}`;
  await using serving = await startNginx(lab, holder, SERVING_PORT, `root ${blobsDir};`);
  const peer = `http://${holder.address}:${SERVING_PORT}`;
  const pass = `location / { proxy_pass ${peer}; proxy_buffering off; }`;
  await using relaying = await startNginx(lab, client, RELAY_PORT, pass);
  const served = {
    ours: { url: `http://${holder.address}:5000${path}`, pid: holder.spegel.service.pid ?? 0 },
    nginx: { url: `${peer}${file}`, pid: serving.pid },
  };
  const relayed = {
    ours: { url: `http://127.0.0.1:5000${path}`, pid: client.spegel.service.pid ?? 0 },
    nginx: { url: `http://127.0.0.1:${RELAY_PORT}${file}`, pid: relaying.pid },
  };
  const rows: Row[] = [];
  for (const connections of [1, 16]) {
    const what = `serve a layer over veth, ${connections} at once; nginx: sendfile`;
    rows.push(await compare(client, what, connections, served, { cpu: 0.15, rate: 0.8 }));
  }
  for (const connections of [1, 8]) {
    const what = `relay a layer over veth, ${connections} at once; nginx: proxy_pass, not buffered`;
    rows.push(await compare(client, what, connections, relayed, { cpu: 0.35, rate: 2.5 }));
  }
  return rows;
}

/** Serves what `location` says on a port of the host, until it is disposed. */
export async function startNginx(lab: Lab, host: LabHost, port: number, location: string) {
  const dir = join(host.dir, `nginx-${port}`);
  await mkdir(dir);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${dir}/${kind};`)
    .join(' ');
  await writeFile(
    join(dir, 'nginx.conf'),
    `daemon off; master_process off; user root; pid ${dir}/pid; error_log ${dir}/error.log;
     events {} http { access_log off; sendfile on; ${temporary}
     server { listen ${port}; ${location} } }`,
  );
  const argv = host.net.on(lab.tools.nginx, '-c', join(dir, 'nginx.conf'));
  const service = new Service(argv, join(dir, 'log'));
  service.start();
  await sleep(500);
  return {
    pid: service.pid ?? 0,
    async [Symbol.asyncDispose]() {
      await service.stop();
    },
  };
}

/** Gets the layer over `connections` connections at once, each a part of it. */
async function compare(
  client: LabHost,
  what: string,
  connections: number,
  ways: { readonly ours: Way; readonly nginx: Way },
  aim: Aim,
): Promise<Row> {
  const part = (LAYER_MIB * MIB) / connections;
  const get = async ({ url, pid }: Way) => {
    const before = cpuSeconds(pid);
    const began = performance.now();
    await Promise.all(
      Array.from({ length: connections }, (_, index) => {
        const range = `${index * part}-${(index + 1) * part - 1}`;
        return client.net.curl('--fail', '--range', range, '--output', '/dev/null', url);
      }),
    );
    const gb = (LAYER_MIB * MIB) / GB;
    const seconds = (performance.now() - began) / 1_000;
    return { rate: gb / seconds, cpu: (cpuSeconds(pid) - before) / gb };
  };
  const rounds: { readonly ours: Got; readonly nginx: Got }[] = [];
  for (const way of [ways.ours, ways.nginx]) await get(way);
  for (let round = 0; round < ROUNDS; round += 1)
    rounds.push({ ours: await get(ways.ours), nginx: await get(ways.nginx) });
  const of = (way: 'ours' | 'nginx', value: keyof Got) => median(rounds.map((r) => r[way][value]));
  const text = (way: 'ours' | 'nginx') =>
    `${of(way, 'rate').toFixed(2)} GB/s, ${of(way, 'cpu').toFixed(2)} CPU-s/GB`;
  const times = of('ours', 'rate') / of('nginx', 'rate');
  const isMet = times >= aim.rate && of('ours', 'cpu') <= aim.cpu;
  return {
    what,
    ours: text('ours'),
    baseline: text('nginx'),
    ratio: `${times.toFixed(2)} x its bytes/s (aim: ${aim.rate}, CPU ${aim.cpu}): ${isMet ? 'met' : 'not met'}`,
  };
}

/** Of one round. */
interface Got {
  /** GB per second. */
  readonly rate: number;
  /** CPU-s per GB. */
  readonly cpu: number;
}
