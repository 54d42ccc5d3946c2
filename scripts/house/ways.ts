import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LocalNode } from '../../lab/fleet/local-node.ts';
import { type Layout, makeImage } from '../../lab/images/images.ts';
import { Coverage, freePort, type RunFunction, runFunctions } from './coverage.ts';

/** One way through the house, and the files of which a function runs on it. */
export interface Way {
  readonly name: string;
  readonly files: readonly string[];
}

const REGISTRY = '127.0.0.1:9';
const IDLE_MS = 6_000;
/** What a request leaves to be done, such as a record that is sent on. */
const SETTLE_MS = 1_500;
const LAYERS = 2;

/** A node whose functions are counted. */
interface WatchedNode {
  readonly node: LocalNode;
  readonly coverage: Coverage;
}

/**
 * Goes the five ways of docs/design/house.md with the sources of a tree, and tells the files that a
 * reader meets on each: those of which a function runs. What runs at rest, too, is left out.
 */
export async function waysThrough(root: string): Promise<Way[]> {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-house-'));
  const nodes: LocalNode[] = [];
  try {
    const sharing = await watched('sharing', { directory, root, nodes });
    const pulling = await watched('pulling', { directory, root, nodes });
    await pulling.node.until('spegel_peers', 1);
    // Until what the start left to be done is over.
    await delay(IDLE_MS);
    await reset(sharing, pulling);
    await delay(IDLE_MS);
    const atRest = await reset(sharing, pulling);
    const way = (name: string, run: readonly RunFunction[]): Way => {
      const moved = run.filter(({ id }) => !atRest.has(id));
      return { name, files: [...new Set(moved.map(({ file }) => file))].sort() };
    };

    const appearing = await share(sharing, join(directory, 'image'));
    const [layer] = appearing.image.manifests[0]?.layers ?? [];
    if (layer === undefined) throw new Error('an image without a layer');
    await found(pulling.node, layer.digest);
    await reset(sharing, pulling);
    const unknown = `sha256:${randomBytes(32).toString('hex')}`;
    const missed = await asked(pulling, unknown, 404);
    await reset(sharing, pulling);
    const relayed = await asked(pulling, layer.digest, 200);
    const served = await sharing.coverage.take();
    const joining = await join_(sharing.node, { directory, root, nodes });
    return [
      way('1a. a pull asks for a blob that nobody has', missed),
      way('1b. a pull gets a blob from a peer', relayed),
      way('2. a peer asks for a blob', served),
      way('3. content appears', appearing.run),
      way('4. a host joins', joining),
      {
        name: '5. configuration writes hosts.toml',
        files: await configured(sharing.node, root, directory),
      },
    ];
  } finally {
    await Promise.all(nodes.map((node) => node.kill('SIGKILL')));
    await rm(directory, { recursive: true, force: true });
  }
}

interface Place {
  readonly directory: string;
  readonly root: string;
  /** All that were started, to be ended. */
  readonly nodes: LocalNode[];
}

async function watched(
  name: string,
  { directory, root, nodes }: Place,
  flags: readonly string[] = [],
): Promise<WatchedNode> {
  const port = await freePort();
  const main = join(root, 'cmd/main.ts');
  const command = [process.execPath, `--inspect=127.0.0.1:${port}`, '--no-warnings', main];
  const peers = flags.length === 0 ? nodes.slice(0, 1) : [];
  const node = await LocalNode.start(name, directory, peers, command, flags);
  nodes.push(node);
  return { node, coverage: await Coverage.of(port, root) };
}

/** Begins anew; what ran until now is returned. */
async function reset(...all: readonly WatchedNode[]): Promise<Set<string>> {
  const taken = await Promise.all(all.map(({ coverage }) => coverage.take()));
  return new Set(taken.flat().map(({ id }) => id));
}

async function share(
  { node, coverage }: WatchedNode,
  directory: string,
): Promise<{ readonly image: Layout; readonly run: RunFunction[] }> {
  const image = await makeImage(directory, {
    seed: 'house',
    layers: LAYERS,
    layerMiB: 1,
    tag: `${REGISTRY}/team/app:v1`,
  });
  await cp(image.dir, node.layout, { recursive: true });
  await node.until('spegel_advertised_keys', LAYERS + 3);
  await delay(SETTLE_MS);
  return { image, run: await coverage.take() };
}

const urlOf = (node: LocalNode, digest: string) =>
  `${node.origin}/v2/team/app/blobs/${digest}?ns=${encodeURIComponent(REGISTRY)}`;

/** Waits until a node that has nothing finds a blob: its record is known a moment later. */
async function found(node: LocalNode, digest: string): Promise<void> {
  for (let tries = 0; tries < 40; tries++) {
    const { status, body } = await fetch(urlOf(node, digest), { method: 'HEAD' });
    await body?.cancel();
    if (status === 200) return;
    await delay(250);
  }
  throw new Error('the layer is not found');
}

async function asked(
  { node, coverage }: WatchedNode,
  digest: string,
  expected: number,
): Promise<RunFunction[]> {
  const answer = await fetch(urlOf(node, digest));
  await answer.arrayBuffer();
  if (answer.status !== expected) throw new Error(`expected ${expected}, got ${answer.status}`);
  await delay(SETTLE_MS);
  return coverage.take();
}

/** A node that is alone gets a list of peers. */
async function join_(other: LocalNode, place: Place): Promise<RunFunction[]> {
  const list = join(place.directory, 'peers');
  await writeFile(list, '');
  const alone = await watched('alone', place, [`--static-bootstrap-peers-file=${list}`]);
  await delay(IDLE_MS);
  const atRest = await reset(alone);
  await writeFile(list, `${other.endpoint}\n`);
  alone.node.process.kill('SIGHUP');
  await alone.node.until('spegel_peers', 1);
  await delay(SETTLE_MS);
  return (await alone.coverage.take()).filter(({ id }) => !atRest.has(id));
}

async function configured(node: LocalNode, root: string, directory: string): Promise<string[]> {
  const coverage = join(directory, 'coverage');
  const certs = join(directory, 'certs.d');
  await mkdir(certs);
  execFileSync(
    process.execPath,
    [
      join(root, 'cmd/main.ts'),
      'configuration',
      `--containerd-registry-config-path=${certs}`,
      '--mirrored-registries=https://docker.io',
      `--mirror-targets=${node.origin}`,
    ],
    { env: { PATH: process.env.PATH, NODE_V8_COVERAGE: coverage }, stdio: 'ignore' },
  );
  const [name = ''] = await readdir(coverage);
  const { result } = JSON.parse(await readFile(join(coverage, name), 'utf8'));
  return [...new Set(runFunctions(result, root).map(({ file }) => file))].sort();
}
