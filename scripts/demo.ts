import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LocalNode } from '../lab/fleet/local-node.ts';
import { type Layout, makeImage } from '../lab/images/images.ts';
import { PullClient, type Pulled, type PullObserver } from './oci-pull.ts';

/**
 * Four nodes on this machine. One has an image, one that has nothing is asked for it; then a second
 * one gets it too, and the first is killed in the middle of a layer. Needs no root, no containerd
 * and no network.
 */
const MIB = 1024 * 1024;
/** Nobody listens on this port: the upstream registry that the image came from is switched off. */
const REGISTRY = '127.0.0.1:9';
const REPOSITORY = 'team/app';
const TAG = 'v1';
const LAYERS = 6;
const LAYER_MIB = 48;
const FIND_EVERY_MS = 250;
const FIND_TRIES = 40;

/** Ctrl-C. */
const interrupted = new AbortController();

const say = (text: string) => process.stdout.write(`${text}\n`);

async function main(directory: string, nodes: LocalNode[]): Promise<void> {
  say(
    `Making an image of ${LAYERS} layers, ${LAYERS * LAYER_MIB} MiB, and starting four nodes ...`,
  );
  const image = await makeImage(join(directory, 'image'), {
    seed: 'demo',
    layers: LAYERS,
    layerMiB: LAYER_MIB,
    tag: `${REGISTRY}/${REPOSITORY}:${TAG}`,
  });
  for (const name of ['anna', 'bert', 'cleo', 'dora']) {
    interrupted.signal.throwIfAborted();
    nodes.push(await LocalNode.start(name, directory, nodes.slice(0, 1)));
  }
  const [anna, bert, cleo, dora] = nodes as [LocalNode, LocalNode, LocalNode, LocalNode];
  await Promise.all(nodes.map((node) => node.until('spegel_peers', nodes.length - 1)));
  await share(image, anna);

  say(`\n1. ${REGISTRY}/${REPOSITORY}:${TAG} is on anna alone; its registry is switched off.`);
  say('   Pulling it through dora, which has nothing:\n');
  await found(dora);
  await report(nodes, () => pull(dora, { onPulled: print }));

  say(
    '\n2. bert gets a copy. Pulling through cleo; the node that serves it is killed on the way:\n',
  );
  await share(image, bert);
  let killed: Promise<LocalNode> | undefined;
  const onProgress = (bytes: number) => {
    if (killed !== undefined || bytes <= (LAYER_MIB / 2) * MIB) return;
    killed = killBusiest([anna, bert]);
    // Its failure is told where it is awaited, after the pull.
    killed.catch(() => {});
  };
  await report(nodes, () => pull(cleo, { onPulled: print, onProgress }));
  const victim = (await killed)?.name;
  const handovers = await cleo.metric('spegel_relay_handovers_total');
  say(
    `\n   ${victim} was killed (SIGKILL); layers that went on from the other at that byte: ${handovers}`,
  );
}

/** Bytes that each node has sent out of its store so far; none of one that does not run. */
function servedBy(nodes: LocalNode[]): Promise<number[]> {
  const served = (node: LocalNode) => node.metric('spegel_served_bytes_total');
  return Promise.all(nodes.map((node) => (node.isRunning ? served(node) : Number.NaN)));
}

/** Kills the node that is serving most requests right now. */
async function killBusiest(nodes: LocalNode[]): Promise<LocalNode> {
  const serving = await Promise.all(nodes.map((node) => node.metric('http_requests_inflight')));
  const busiest = nodes[serving.indexOf(Math.max(...serving))] as LocalNode;
  await busiest.kill('SIGKILL');
  return busiest;
}

/** Puts the image where the node serves from, and waits until the node has announced it. */
async function share(image: Layout, node: LocalNode): Promise<void> {
  await cp(image.dir, node.layout, { recursive: true });
  await node.until('spegel_advertised_keys', LAYERS + 3);
}

/**
 * Waits until a node that has nothing finds the image: what is announced is known a moment later.
 */
async function found(node: LocalNode): Promise<void> {
  const url = `${node.origin}/v2/${REPOSITORY}/manifests/${TAG}?ns=${encodeURIComponent(REGISTRY)}`;
  for (let tries = 1; (await fetch(url, { method: 'HEAD' })).status !== 200; tries += 1) {
    if (tries === FIND_TRIES) throw new Error(`${node.name} does not find the image`);
    await delay(FIND_EVERY_MS);
  }
}

function pull(node: LocalNode, observer: PullObserver): Promise<Pulled[]> {
  return new PullClient(node.origin, REGISTRY, observer).image(REPOSITORY, TAG);
}

function print({ digest, bytes, ms, mediaType }: Pulled): void {
  const size = `${(bytes / MIB).toFixed(1)} MiB`.padStart(9);
  const kind = mediaType.replace('application/vnd.oci.image.', '').padEnd(17);
  say(`   ${digest.slice(0, 19)}  ${kind} ${size} in ${ms.toFixed(0).padStart(4)} ms  digest ok`);
}

/** Runs a pull and says how much each node sent meanwhile. */
async function report(nodes: LocalNode[], run: () => Promise<Pulled[]>): Promise<void> {
  const before = await servedBy(nodes);
  const started = performance.now();
  const pulled = await run();
  const seconds = (performance.now() - started) / 1000;
  const after = await servedBy(nodes);
  const mib = pulled.reduce((sum, { bytes }) => sum + bytes, 0) / MIB;
  say(`\n   ${mib.toFixed(1)} MiB in ${seconds.toFixed(2)} s: ${(mib / seconds).toFixed(0)} MiB/s`);
  for (const [i, node] of nodes.entries()) {
    if (!node.isRunning) continue;
    const sent = ((after[i] ?? 0) - (before[i] ?? 0)) / MIB;
    say(`   ${node.name} served ${sent.toFixed(1).padStart(6)} MiB from its store`);
  }
}

const directory = await mkdtemp(join(tmpdir(), 'spegel-demo-'));
const nodes: LocalNode[] = [];

const stopNodes = () => Promise.all(nodes.map((node) => node.kill('SIGTERM')));

// A node that is starting is stopped below, when it has started.
process.once('SIGINT', () => {
  interrupted.abort();
  void stopNodes();
});
try {
  await main(directory, nodes);
  say('\nEvery digest was checked. Done.');
} catch (error) {
  // From a terminal the nodes get the signal, too, and what they were asked fails: perhaps before
  // this process has the signal.
  await stopNodes();
  if (!interrupted.signal.aborted) throw error;
  process.exitCode = 130;
} finally {
  await stopNodes();
  await rm(directory, { recursive: true, force: true });
}
