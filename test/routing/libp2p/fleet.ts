import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, silentLogger } from '../../../lib/base/log.ts';
import type { Bootstrapper } from '../../../lib/bootstrap/bootstrapper.ts';
import { type BootstrapPeer, parseBootstrapPeer } from '../../../lib/bootstrap/peer.ts';
import type { ResolveName } from '../../../lib/bootstrap/resolve.ts';
import { StaticBootstrapper } from '../../../lib/bootstrap/static.ts';
import type { NetworkKeys } from '../../../lib/network-key/network-key.ts';
import { Libp2pRouter } from '../../../lib/routing/libp2p/router.ts';
import type { Answerer } from '../../../lib/routing/peer-protocol.ts';
import type { Candidate } from '../../../lib/routing/router.ts';
import { OwnPeer } from '../../../lib/routing/transport/own-peer.ts';

export const LOOPBACK = '127.0.0.1';

export async function freePort(host = LOOPBACK): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** The part of a TestContext that the helpers use. */
export interface Cleanup {
  after(action: () => Promise<void> | void): void;
}

export interface TestNode {
  readonly router: Libp2pRouter;
  readonly port: number;
  readonly registryPort: number;
  /** `127.0.0.1:<port>` */
  readonly endpoint: string;
  stop(): Promise<void>;
}

export interface NodeOptions {
  readonly peers?: readonly string[];
  readonly port?: number;
  readonly registryPort?: number;
  readonly dataDir?: string;
  /** Called with each value of the metric of an identity conflict. */
  readonly onConflict?: (value: number) => void;
  readonly advertiseTtlMs?: number;
  readonly peersTold?: number;
  readonly log?: Logger;
  readonly resolve?: ResolveName;
  /** Bootstrappers beside the static list. */
  readonly bootstrappers?: readonly Bootstrapper[];
  /** Makes the node speak the tracker protocol. */
  readonly answer?: Answerer;
  /** Closes the network. */
  readonly networkKeys?: NetworkKeys;
}

/** Starts a router on 127.0.0.1 and stops it with the test. */
export async function startNode(t: Cleanup, options: NodeOptions = {}): Promise<TestNode> {
  const port = options.port ?? (await freePort());
  const registryPort = options.registryPort ?? (await freePort());
  const log = options.log ?? silentLogger;
  const peers: BootstrapPeer[] = (options.peers ?? []).map(parseBootstrapPeer);
  const resolve = options.resolve === undefined ? {} : { resolve: options.resolve };
  const settings = {
    version: '0.0.0-test',
    routerAddress: { host: LOOPBACK, port },
    registryPort,
    dataDir: options.dataDir ?? '',
    advertiseAddresses: [],
    advertiseTtlMs: options.advertiseTtlMs ?? 600_000,
    ...(options.peersTold === undefined ? {} : { peersTold: options.peersTold }),
  };
  const router = new Libp2pRouter(
    {
      log,
      self: new OwnPeer(settings),
      instruments: {
        peers: { set: () => {} },
        resolveDuration: { observe: () => {} },
        identityConflict: { set: (_, value) => options.onConflict?.(value) },
      },
      bootstrappers: [
        new StaticBootstrapper({ log, ...resolve }, peers),
        ...(options.bootstrappers ?? []),
      ],
      networkKeys: options.networkKeys,
    },
    settings,
  );
  if (options.answer !== undefined) router.protocol.answerWith(options.answer);
  const stop = () => router.stop();
  t.after(stop);
  await router.start(new AbortController().signal);
  return { router, port, registryPort, endpoint: `${LOOPBACK}:${port}`, stop };
}

/** `count` nodes that all bootstrap from the first one, each knowing all the others. */
export async function startFleet(
  t: Cleanup,
  count: number,
  options: NodeOptions = {},
): Promise<TestNode[]> {
  const first = await startNode(t, options);
  const others = await Promise.all(
    Array.from({ length: count - 1 }, () => startNode(t, { ...options, peers: [first.endpoint] })),
  );
  const nodes = [first, ...others];
  await until(() => nodes.every(({ router }) => router.peers() === count - 1));
  return nodes;
}

export async function until(
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${timeoutMs} ms: ${condition}`);
    await sleep(10);
  }
}

export interface Found {
  readonly candidates: Candidate[];
  readonly ids: string[];
  readonly firstMs: number;
  readonly totalMs: number;
}

/** Looks a key up to the end, or to the timeout. */
export async function find(
  node: Pick<TestNode, 'router'>,
  key: string,
  timeoutMs = 1_000,
): Promise<Found> {
  const started = performance.now();
  const candidates: Candidate[] = [];
  let firstMs = Number.NaN;
  for await (const candidate of node.router.lookup(key, AbortSignal.timeout(timeoutMs))) {
    if (candidates.length === 0) firstMs = performance.now() - started;
    candidates.push(candidate);
  }
  const ids = candidates.map(({ peerId }) => peerId);
  return { candidates, ids, firstMs, totalMs: performance.now() - started };
}

/** Waits until a node finds at least `count` providers of a key. */
export async function untilFound(node: TestNode, key: string, count = 1): Promise<Found> {
  let found = await find(node, key);
  await until(async () => {
    found = await find(node, key);
    return new Set(found.ids).size >= count;
  });
  return found;
}

export function digestKey(seed: number): string {
  return `sha256:${seed.toString(16).padStart(64, '0')}`;
}

export interface NodeProcess {
  readonly child: ChildProcess;
  readonly endpoint: string;
  readonly id: string;
  /** CPU that the process has used. */
  cpuSeconds(): Promise<number>;
}

export interface ProcessOptions {
  readonly dataDir?: string;
  /** `127.0.0.1:<port>` instead of a free one. */
  readonly endpoint?: string;
}

/** Starts a node in a process of its own, which ends with the test. It announces `frozen:held`. */
export async function spawnNode(
  t: Cleanup,
  peers: readonly string[],
  { dataDir = '', endpoint = `${LOOPBACK}:0` }: ProcessOptions = {},
): Promise<NodeProcess> {
  const script = new URL('./node-process.ts', import.meta.url).pathname;
  const port = Number(endpoint.split(':')[1]);
  const settings = JSON.stringify({ peers, dataDir, ...(port === 0 ? {} : { port }) });
  const child = spawn(process.execPath, [script, settings], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => void child.kill('SIGKILL'));
  const [line] = await once(child.stdout, 'data');
  return { child, ...JSON.parse(String(line)), cpuSeconds: () => cpuSecondsOf(child.pid) };
}

/** proc(5), /proc/<pid>/stat, fields 14 and 15: user and system time in hundredths of a second. */
async function cpuSecondsOf(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** `p50 … ms, p99 … ms, max … ms` */
export function summary(values: readonly number[]): string {
  const sorted = values.toSorted((x, y) => x - y);
  const at = (part: number) => (sorted[Math.floor(part * (sorted.length - 1))] ?? 0).toFixed(1);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`;
}
