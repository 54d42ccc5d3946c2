import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { waitUntil } from '../../lab/processes/exec.ts';
import { PeerCache } from '../../lib/bootstrap/peer-cache.ts';
import { IDS } from './ids.ts';
import { logLines } from './lines.ts';

/** Later is a fault. */
const SOON = { timeoutMs: 8_000 };

const peer = (index: number, port = 5001) => ({
  id: IDS[index] ?? '',
  addresses: [`/ip4/10.0.0.${index + 1}/tcp/${port}`],
});
const address = (index: number, port = 5001) =>
  `/ip4/10.0.0.${index + 1}/tcp/${port}/p2p/${IDS[index]}`;

function setUp(t: TestContext, settings = { settleMs: 20, gapMs: 60 }) {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-cache-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const path = join(dir, 'peers.json');
  const { log, lines } = logLines();
  const open = () => {
    const cache = new PeerCache({ log }, { dataDir: dir, ...settings });
    t.after(() => cache.stop());
    return cache;
  };
  return { dir, path, lines, open };
}

const addressesOf = (cache: PeerCache) => cache.addresses(AbortSignal.timeout(5_000));

test('peers outlive a restart, newest first; the file is ours alone, and nothing else is left', async (t) => {
  const { dir, path, lines, open } = setUp(t);
  const first = open();
  assert.deepEqual(await addressesOf(first), []);
  first.remember([peer(0)]);
  await waitUntil('written', () => existsSync(path), SOON);
  first.remember([peer(1)]);
  await first.stop();
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(dir), ['peers.json']);
  assert.deepEqual(await addressesOf(open()), [address(1), address(0)]);
  assert.deepEqual(lines, []);
});

test('writes wait for each other, and the same peers again are none', async (t) => {
  const { path, open } = setUp(t, { settleMs: 10, gapMs: 60_000 });
  const cache = open();
  cache.remember([peer(0)]);
  await waitUntil('written', () => existsSync(path), SOON);
  const { ino } = statSync(path);
  for (let round = 0; round < 20; round++) {
    cache.remember([peer(0), peer(1)]);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(statSync(path).ino, ino, 'not within the gap');
  await cache.stop();
  assert.match(readFileSync(path, 'utf8'), new RegExp(IDS[1] ?? '-'));
  const again = open();
  await addressesOf(again);
  const stopped = statSync(path).ino;
  await again.stop();
  assert.equal(statSync(path).ino, stopped, 'nothing was seen, nothing is written');
});

test('a host that was installed anew: the id that was at its address is forgotten', async (t) => {
  const { open } = setUp(t);
  const cache = open();
  await addressesOf(cache);
  cache.remember([peer(0), { id: IDS[1] ?? '', addresses: ['/ip4/10.0.0.2/tcp/1'] }]);
  cache.remember([{ id: IDS[2] ?? '', addresses: ['/ip4/10.0.0.1/tcp/5001'] }]);
  await cache.stop();
  assert.deepEqual(await addressesOf(open()), [
    `/ip4/10.0.0.1/tcp/5001/p2p/${IDS[2]}`,
    `/ip4/10.0.0.2/tcp/1/p2p/${IDS[1]}`,
  ]);
});

for (const [name, text] of Object.entries({
  empty: '',
  'cut off': '{"version":1,"peers":[{"id":"12D3',
  'something else': '#!/bin/sh\nexit 0\n',
  'other JSON': '{"auths":{}}',
  huge: ' '.repeat(3 * 1024 * 1024),
})) {
  test(`a file that is ${name} is logged once and replaced`, async (t) => {
    const { path, lines, open } = setUp(t);
    writeFileSync(path, text);
    const cache = open();
    assert.deepEqual(await addressesOf(cache), []);
    await addressesOf(cache);
    assert.deepEqual(
      lines.map(({ level, file }) => [level, file]),
      [['WARN', path]],
    );
    cache.remember([peer(0)]);
    await cache.stop();
    assert.deepEqual(await addressesOf(open()), [address(0)]);
    assert.equal(lines.length, 1);
  });
}

test('of a file that was edited, the right entries count', async (t) => {
  const { path, open } = setUp(t);
  const seen = new Date().toISOString();
  const addresses = ['/dns4/a/tcp/1', '/ip4/10.0.0.1/tcp/5001', 7, 'x'];
  const peers = [
    null,
    'x',
    { id: 'nobody', addresses, seen },
    { id: IDS[0], addresses, seen },
    { id: IDS[1], addresses: '/ip4/10.0.0.1/tcp/1', seen },
    { id: IDS[2], addresses: ['/ip4/10.0.0.3/tcp/5001'], seen: 'yesterday' },
    { id: IDS[3], addresses: ['/ip4/10.0.0.4/tcp/5001'], seen: '2999-01-01T00:00:00Z' },
  ];
  writeFileSync(path, JSON.stringify({ version: 1, peers }));
  assert.deepEqual(await addressesOf(open()), [address(0), address(3)]);
});

test('after a month a peer is forgotten, once others are met', async (t) => {
  const { path, open } = setUp(t);
  const old = new Date(Date.now() - 31 * 86_400_000).toISOString();
  const peers = [{ ...peer(0), seen: old }];
  writeFileSync(path, JSON.stringify({ version: 1, peers }));
  const cache = open();
  assert.deepEqual(await addressesOf(cache), [address(0)], 'the clock may be wrong');
  cache.remember([peer(1)]);
  await cache.stop();
  assert.deepEqual(await addressesOf(open()), [address(1)]);
});

test('a place that cannot be written is logged once, and once when it can be written again', async (t) => {
  const { dir, path, lines, open } = setUp(t);
  const away = `${dir}-away`;
  renameSync(dir, away);
  const cache = open();
  cache.remember([peer(0)]);
  await waitUntil('the failure is logged', () => lines.length > 0, SOON);
  await new Promise((resolve) => setTimeout(resolve, 250));
  assert.deepEqual(
    lines.map(({ level }) => level),
    ['ERROR'],
  );
  renameSync(away, dir);
  await waitUntil('written again', () => existsSync(path), SOON);
  await waitUntil('its end is logged', () => lines.length === 2, SOON);
  assert.equal(lines[1]?.msg, 'peers are kept again');
});

const NEEDS_ROOT = { skip: process.getuid?.() === 0 ? false : 'needs root to mount a small disk' };

test(
  'a full disk is logged once, leaves the old file whole, and is used again',
  NEEDS_ROOT,
  async (t) => {
    const { dir, path, lines, open } = setUp(t);
    // Pages are what tmpfs counts: the file, and what fills the rest.
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8192,mode=700', 'tmpfs', dir]);
    const cache = open();
    try {
      cache.remember([peer(0)]);
      await waitUntil('written', () => existsSync(path), SOON);
      const before = readFileSync(path, 'utf8');
      const filler = join(dir, 'filler');
      writeFileSync(filler, Buffer.alloc(4_096));
      cache.remember([peer(1)]);
      await waitUntil('the failure is logged', () => lines.length > 0, SOON);
      await new Promise((resolve) => setTimeout(resolve, 200));
      // An attempt may be on its way at any moment; none leaves anything.
      await waitUntil('no attempt', () => readdirSync(dir).length === 2, SOON);
      assert.equal(readFileSync(path, 'utf8'), before);
      rmSync(filler);
      await waitUntil('its end is logged', () => lines.length > 1, SOON);
      assert.deepEqual(
        lines.map(({ level }) => level),
        ['ERROR', 'INFO'],
      );
      assert.match(String(lines[0]?.error), /ENOSPC/);
      assert.equal(JSON.parse(readFileSync(path, 'utf8')).peers.length, 2);
    } finally {
      await cache.stop();
      execFileSync('umount', [dir]);
    }
  },
);

test('killed at any moment, the file is whole; what a killed write left behind is swept', {
  timeout: 30_000,
}, async (t) => {
  const { dir, path, open, lines } = setUp(t);
  for (const wait of [0, 1, 2, 3, 5, 8]) {
    const script = join(import.meta.dirname, 'cache-process.ts');
    const child = spawn(process.execPath, [script, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => child.once('close', resolve));
    for await (const _ of createInterface(child.stdout)) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      child.kill('SIGKILL');
      break;
    }
    await ended;
    assert.equal(JSON.parse(readFileSync(path, 'utf8')).peers.length, 2);
  }
  const left = readdirSync(dir).filter((name) => name !== 'peers.json');
  writeFileSync(join(dir, '.peers.json.abc'), 'x');
  for (const name of [...left, '.peers.json.abc']) utimesSync(join(dir, name), 1, 1);
  assert.equal((await addressesOf(open())).length, 2);
  assert.deepEqual(readdirSync(dir), ['peers.json']);
  assert.deepEqual(lines, []);
});
