/** The executable as a process: probes, metrics, signals, and what it says when it cannot start. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXECUTABLE } from '../../lab/executable.ts';
import { LocalNode } from '../../lab/fleet/local-node.ts';
import { type Layout, MIB, makeImage } from '../../lab/images/images.ts';

const REGISTRY = '127.0.0.1:9';
const LAYER_MIB = 96;

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-process-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A node that has one image with one layer of LAYER_MIB. */
async function holder(t: TestContext): Promise<{ node: LocalNode; image: Layout }> {
  const directory = await scratch(t);
  const node = await LocalNode.start('holder', directory, []);
  t.after(() => node.kill('SIGKILL'));
  const image = await makeImage(node.layout, {
    seed: 'process',
    layers: 1,
    layerMiB: LAYER_MIB,
    tag: `${REGISTRY}/team/app:v1`,
  });
  await node.until('spegel_advertised_keys', 4);
  return { node, image };
}

async function openLayer(node: LocalNode, image: Layout): Promise<IncomingMessage> {
  const digest = image.manifests[0]?.layers[0]?.digest;
  const request = get(`${node.origin}/v2/team/app/blobs/${digest}?ns=${REGISTRY}`);
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  assert.equal(answer.statusCode, 200);
  answer.pause();
  return answer;
}

async function bytesOf(answer: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) bytes += chunk.length;
  return bytes;
}

function ended(child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> {
  return once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
}

test('probes and metrics', async (t) => {
  const { node } = await holder(t);
  for (const path of ['/livez', '/readyz', '/healthz']) {
    assert.equal((await fetch(node.origin + path)).status, 200, path);
  }
  for (const name of [
    'spegel_advertised_keys',
    'spegel_peers',
    'spegel_mirror_requests_total',
    'spegel_served_bytes_total',
    'spegel_relayed_bytes_total',
    'spegel_relay_handovers_total',
    'process_resident_memory_bytes',
  ]) {
    assert.match(await node.metricsText(), new RegExp(`# TYPE ${name} `), name);
  }
});

/**
 * Files that a process has open for writing, as they are named; sockets, pipes and devices are
 * none.
 */
function writtenFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    // One that was closed meanwhile is not open.
    try {
      const file = readlinkSync(`/proc/${pid}/fd/${fd}`);
      const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1];
      const isWritten =
        (Number.parseInt(flags ?? '0', 8) & (constants.O_WRONLY | constants.O_RDWR)) !== 0;
      return isWritten && /^\/(?!dev\/|proc\/)/.test(file) ? [file] : [];
    } catch {
      return [];
    }
  });
}

test('--data-dir "" leaves no trace on disk', async (t) => {
  const directory = await scratch(t);
  const empty = join(directory, 'empty');
  await mkdir(empty);
  // The last of two flags of a name counts; what would be written to some default is seen in here.
  const script = 'cd "$1"; export HOME="$1" TMPDIR="$1"; shift; exec "$@" --data-dir=';
  const command = ['sh', '-c', script, 'sh', empty, EXECUTABLE];
  const first = await LocalNode.start('first', directory, []);
  t.after(() => first.kill('SIGKILL'));
  const node = await LocalNode.start('traceless', directory, [first], command);
  t.after(() => node.kill('SIGKILL'));
  // A peer is what would be remembered.
  await node.until('spegel_peers', 1);
  await sleep(3_000);
  const own = join(directory, 'traceless');
  assert.deepEqual(writtenFiles(node.pid), [join(own, 'log'), join(own, 'log')]);
  await node.kill('SIGTERM');
  assert.deepEqual(await readdir(empty), []);
  assert.deepEqual((await readdir(own)).toSorted(), ['layout', 'log']);
  assert.deepEqual((await readdir(node.layout)).toSorted(), ['index.json', 'oci-layout']);
});

test('SIGTERM lets a running transfer finish and answers a new one with 404', async (t) => {
  const { node, image } = await holder(t);
  const answer = await openLayer(node, image);
  const exit = ended(node.process);
  node.process.kill('SIGTERM');
  await sleep(300);
  assert.equal((await fetch(`${node.origin}/livez`)).status, 404);
  assert.equal(node.process.exitCode, null, 'it waits for the transfer');
  assert.equal(await bytesOf(answer), image.manifests[0]?.layers[0]?.size);
  assert.deepEqual(await exit, [0, null]);
});

test('SIGTERM ends a transfer that takes too long, cleanly', async (t) => {
  const { node, image } = await holder(t);
  const answer = await openLayer(node, image);
  const exit = ended(node.process);
  node.process.kill('SIGTERM');
  // The client reads nothing: what is on its way stays small, and the drain time runs out.
  await sleep(11_000);
  const failure = await bytesOf(answer).then(
    (bytes) => new Error(`complete: ${bytes}`),
    (error: NodeJS.ErrnoException) => error,
  );
  assert.equal(failure.message, 'aborted');
  assert.deepEqual(await exit, [0, null]);
});

test('a second signal does not wait', async (t) => {
  const { node, image } = await holder(t);
  const answer = await openLayer(node, image);
  answer.on('error', () => {});
  const exit = ended(node.process);
  node.process.kill('SIGTERM');
  await sleep(300);
  node.process.kill('SIGTERM');
  const timeout = sleep(3_000, 'it still runs' as const);
  assert.deepEqual(await Promise.race([exit, timeout]), [1, null]);
  answer.destroy();
});

/** Runs the executable until it ends by itself. */
async function outcome(args: string[]): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(EXECUTABLE, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 15_000 });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const [code] = await ended(child);
  return { code, stderr };
}

/** Lines for a person; the daemon's log lines are JSON. */
function plainLines(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
}

test('what is in the way is said in one line, with exit code 1', async (t) => {
  const directory = await scratch(t);
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const file = join(directory, 'file');
  await writeFile(file, '');
  const free = (name: string) => `--${name}-addr=127.0.0.1:0`;
  const layout = ['--content-store=oci-layout', `--oci-layout-path=${directory}`];
  const data = `--data-dir=${join(directory, 'data')}`;
  const ports = [free('registry'), free('router'), free('metrics')];
  const cases: [string[], RegExp][] = [];
  for (const name of ['registry', 'router', 'metrics']) {
    const others = ports.filter((flag) => !flag.includes(name));
    const args = [...layout, data, ...others, `--${name}-addr=127.0.0.1:${port}`];
    cases.push([args, new RegExp(`^(?=.*expected)(?=.*127.0.0.1:${port}).*--${name}-addr$`)]);
  }
  cases.push([[...ports, data, `--containerd-sock=${file}`], /expected .*socket/]);
  cases.push([[...ports, ...layout, `--data-dir=${file}`], /data.dir|directory/]);
  for (const [args, expected] of cases) {
    const { code, stderr } = await outcome(['registry', ...args]);
    const lines = plainLines(stderr);
    assert.equal(code, 1, stderr);
    assert.equal(lines.length, 1, stderr);
    assert.match(lines[0] ?? '', expected);
  }
});

test('memory and open files return to where they were after many transfers', async (t) => {
  const { node, image } = await holder(t);
  const open = () => readdirSync(`/proc/${node.pid}/fd`).length;
  const before = open();
  for (let round = 0; round < 20; round += 1) {
    const answers = await Promise.all([1, 2, 3, 4].map(() => openLayer(node, image)));
    for (const answer of answers) answer.destroy();
  }
  for (let tries = 0; tries < 50 && open() > before; tries += 1) await sleep(100);
  assert.ok(open() <= before + 1, `${before} files open before, ${open()} after`);
  const resident = await node.metric('process_resident_memory_bytes');
  assert.ok(resident < 300 * MIB, `${resident} bytes resident`);
});
