import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { okFrom, REFUSING, sayOk, serve } from '../support/probe-hosts.ts';
import { FAST, wait } from './run-cleanup-wait.ts';

const jsonLines = (stdout: string) =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

test('a line when what is missing changes, not for each round', async (t) => {
  const late = await serve(t, okFrom(6), '127.0.0.2');
  const address = await serve(t, sayOk);
  const { status, stdout } = await wait(['--probe-endpoint', `${address},${late}`, ...FAST]);
  assert.equal(status, 0);
  assert.deepEqual(stdout.trimEnd().split('\n'), [
    'round 1: 1 of 2 answered, missing 127.0.0.2 (answered 503); 0 of 3 rounds in a row',
    'round 6: 2 of 2 answered; 1 of 3 rounds in a row',
    'done: all 2 answered, 3 of 3 rounds in a row',
  ]);
});

test('a line at least every 10 s, also when nothing changes', async () => {
  const events = new EventEmitter();
  let lines = 0;
  const { stdout } = await wait(['--probe-endpoint', REFUSING, '--period', '1s'], {
    events,
    onLine: () => {
      lines += 1;
      if (lines === 2) events.emit('SIGTERM');
    },
  });
  const rounds = stdout.match(/^round \d+/gm) ?? [];
  assert.equal(rounds[0], 'round 1');
  // Ten seconds after the first one, and slack for a slow machine.
  assert.match(rounds[1] ?? '', /^round (?:[5-9]|1[0-2])$/);
});

test('the first ten that are missing are named, the others counted', async () => {
  const events = new EventEmitter();
  const hosts = Array.from({ length: 33 }, (_, index) => `127.0.0.${index + 1}`);
  const { stdout } = await wait(['--probe-endpoint', `${hosts.join(',')}:1`], {
    events,
    onLine: () => events.emit('SIGTERM'),
  });
  assert.match(
    stdout,
    /^round 1: 0 of 33 answered, missing 127\.0\.0\.1 \(connection refused\), .*, 127\.0\.0\.10 \(connection refused\) and 23 more; 0 of 3 rounds in a row\n$/,
  );
});

test('--json is one object per round, and a last one that says how it ended', async (t) => {
  const late = await serve(t, okFrom(2), '127.0.0.2');
  const list = `${await serve(t, sayOk)},${late}`;
  const { status, stdout } = await wait([
    '--probe-endpoint',
    list,
    '--threshold=2',
    '--json',
    ...FAST,
  ]);
  assert.equal(status, 0);
  const missing = [{ address: late, reason: 'answered 503' }];
  const all = { answered: 2, total: 2, missing: [], threshold: 2 };
  assert.deepEqual(jsonLines(stdout), [
    { round: 1, answered: 1, total: 2, missing, consecutive: 0, threshold: 2 },
    { round: 2, ...all, consecutive: 1 },
    { round: 3, ...all, consecutive: 2 },
    { done: true, round: 3, ...all, consecutive: 2 },
  ]);
});

test('--json ends with the reason when not all answered', async () => {
  const args = ['--probe-endpoint', 'nosuch.invalid,[::1]:1', '--json', '--period', '1h'];
  const timeout = await wait([...args, '--timeout', '1s']);
  assert.equal(timeout.status, 1);
  const [first, last, ...more] = jsonLines(timeout.stdout);
  assert.deepEqual(
    first.missing.map(({ address }: { address: string }) => address),
    ['[::1]:1', 'nosuch.invalid:1'],
  );
  assert.deepEqual([last, more], [{ done: false, reason: 'timeout', ...first }, []]);
  const events = new EventEmitter();
  const stopped = await wait(args, {
    events,
    onLine: (line) => {
      if (!line.includes('done')) events.emit('SIGINT');
    },
  });
  assert.equal(jsonLines(stopped.stdout).at(-1).reason, 'SIGINT');
});
