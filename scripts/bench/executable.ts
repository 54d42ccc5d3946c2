import { execFile } from 'node:child_process';
import { globSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { EXECUTABLE } from '../../lab/executable.ts';
import { LocalNode } from '../../lab/fleet/local-node.ts';
import { makeImage } from '../../lab/images/images.ts';
import { alternate, median, missing, type Row, residentMb } from './table.ts';

const DIST = join(import.meta.dirname, '..', '..', 'dist');
const ROUNDS = 10;
const READY_ROUNDS = 5;
const KEYS = 5000;
/** What a key is made for beside layers: the tag, the manifest, the config. */
const KEYS_OF_AN_IMAGE = 3;
/** Until what the start needed has been given back. */
const SETTLE_MS = 3000;

const run = promisify(execFile);

/** Rows about the executable itself: sizes, start, memory. */
export async function benchExecutable(): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-bench-'));
  try {
    return [
      await startRow(),
      await readyRow(directory),
      sizeRow(),
      archiveRow(),
      ...(await memoryRows(directory)),
    ];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function startRow(): Promise<Row> {
  // No environment: the executable begins anew to get rid of Node's variables
  // (cmd/process/clean-start.ts).
  const ms = await alternate(
    ROUNDS,
    async () => void (await run(EXECUTABLE, ['version'], { env: {} })),
    async () => void (await run(process.execPath, ['--eval', '0'], { env: {} })),
  );
  return {
    what: 'start: `spegel version`',
    ours: `${ms.ours.toFixed(0)} ms`,
    baseline: `\`node --eval 0\`: ${ms.baseline.toFixed(0)} ms`,
    ratio: `${(ms.ours / ms.baseline).toFixed(1)} x its time`,
  };
}

async function readyRow(directory: string): Promise<Row> {
  const times: number[] = [];
  for (let round = 0; round < READY_ROUNDS; round += 1) {
    const started = performance.now();
    const node = await LocalNode.start(`ready-${round}`, directory, []);
    times.push(performance.now() - started);
    await node.kill('SIGTERM');
  }
  return plain('from start to /readyz, layout store', `${median(times).toFixed(0)} ms`);
}

function sizeRow(): Row {
  const mb = (file: string) => statSync(file).size / 1e6;
  return {
    what: 'size of the executable',
    ours: `${mb(EXECUTABLE).toFixed(0)} MB`,
    baseline: `the Node inside, as delivered: ${mb(process.execPath).toFixed(0)} MB`,
    ratio: (mb(EXECUTABLE) / mb(process.execPath)).toFixed(2),
  };
}

function archiveRow(): Row {
  const what = 'size of the release archives';
  const files = globSync('spegel_*_linux_*.tar.xz', { cwd: DIST }).sort();
  if (files.length === 0) return missing(what, 'make release');
  const sizes = files.map((file) => {
    const [, arch = ''] = /_linux_(\w+)\./.exec(file) ?? [];
    return `${arch} ${(statSync(join(DIST, file)).size / 1e6).toFixed(1)} MB`;
  });
  return plain(what, sizes.join(', '));
}

async function memoryRows(directory: string): Promise<Row[]> {
  const node = await LocalNode.start('memory', directory, []);
  try {
    await sleep(SETTLE_MS);
    const idle = plain('resident memory, idle', memory(node));
    const layers = KEYS - KEYS_OF_AN_IMAGE;
    const shape = { seed: 'keys', layers, layerBytes: 16, tag: '127.0.0.1:9/bench/keys:v1' };
    await makeImage(node.layout, shape);
    await node.until('spegel_advertised_keys', KEYS);
    await sleep(SETTLE_MS);
    return [idle, plain(`resident memory with ${KEYS} keys`, memory(node))];
  } finally {
    await node.kill('SIGTERM');
  }
}

function memory({ pid }: LocalNode): string {
  const { all, own } = residentMb(pid);
  return `${all.toFixed(0)} MB, of which ${own.toFixed(0)} MB are its own`;
}

function plain(what: string, ours: string): Row {
  return { what, ours, baseline: '', ratio: '' };
}
