/**
 * What `make bench-fetch` makes of what it measured, and the socket that hides from a daemon when
 * content lands.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { EventFilter } from '../../../scripts/bench/parallel-fetch/event-filter.ts';
import type { Pull } from '../../../scripts/bench/parallel-fetch/fetch-lab.ts';
import { appendLine, type Round, readLines } from '../../../scripts/bench/parallel-fetch/record.ts';
import { tableOf } from '../../../scripts/bench/parallel-fetch/table.ts';

const CASE = {
  version: '2.1',
  link: '100',
  source: 'one',
  image: '4x64',
  setting: '8x3',
  load: 1,
} as const;

function pull(fetchMs: number, sentByUpstream = 0): Pull {
  const cpu = { spegel: 1, containerd: 1 };
  return { fetchMs, pullMs: 2 * fetchMs, sent: 1, sentByUpstream, requests: 5, aborted: 0, cpu };
}

function cellsOf(rounds: readonly Round[]): string[] {
  const [, , row = ''] = tableOf(rounds).split('\n');
  return row.split('|').map((cell) => cell.trim());
}

test('a ratio is the median of the ratios of each round', () => {
  const rounds = [100, 200, 1_000].map((off, round) => ({
    ...CASE,
    pulls: { off: pull(off), plain: pull(off), parallel: pull(off * ([3, 2, 1.5][round] ?? 0)) },
  }));
  assert.deepEqual(cellsOf(rounds).slice(8, 11), ['0.2 (0.4) s', '1.00 (1.00)', '2.00 (2.00)']);
});

test('a pull that failed or had its bytes from elsewhere is counted, and in no figure', () => {
  const off = pull(100);
  const rounds: Round[] = [
    { ...CASE, pulls: { off, plain: pull(100), parallel: { error: 'not found' } } },
    { ...CASE, pulls: { off, plain: pull(900, 1), parallel: pull(300) } },
  ];
  assert.deepEqual(cellsOf(rounds).slice(9, 11), [
    '1.00 (1.00), 1 went upstream',
    '3.00 (3.00), 1 failed',
  ]);
  const [upstream] = rounds.map((round) => ({ ...round, source: 'upstream' }));
  assert.ok(upstream);
  const gone = { ...upstream, pulls: { ...upstream.pulls, plain: pull(200, 1) } };
  assert.equal(cellsOf([gone])[9], '2.00 (2.00)');
});

test('rounds are read as they were written, and a file that is not there has none', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-rounds-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, 'rounds.jsonl');
  assert.deepEqual(readLines(file), []);
  appendLine(file, { round: 1 });
  appendLine(file, { round: 2 });
  assert.deepEqual(readLines(file), [{ round: 1 }, { round: 2 }]);
});

test('a subscription loses the topic of content that lands, all else passes as it is', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-events-'));
  t.after(() => rm(dir, { recursive: true }));
  const echo = createServer((socket) => socket.pipe(socket)).listen(join(dir, 'containerd.sock'));
  await once(echo, 'listening');
  t.after(() => echo.close());
  await using filter = await EventFilter.listen(
    join(dir, 'events.sock'),
    join(dir, 'containerd.sock'),
  );
  const daemon = connect(filter.socket);
  t.after(() => daemon.destroy());
  const ask = async (text: string) => {
    daemon.write(text);
    const [bytes] = (await once(daemon, 'data')) as [Buffer];
    return bytes.toString();
  };
  assert.equal(await ask('topic=="/images/create"'), 'topic=="/images/create"');
  assert.equal(filter.hidden, 0);
  const changed = await ask('+topic=="/content/create"+topic=="/images/create"+');
  assert.equal(changed, '+topic=="/content/absent"+topic=="/images/create"+');
  assert.equal(filter.hidden, 1);
});
