import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { waitUntil } from '../../lab/processes/exec.ts';
import { PeersFile } from '../../lib/bootstrap/peers-file.ts';
import { StaticBootstrapper } from '../../lib/bootstrap/static.ts';
import { IDS } from './ids.ts';
import { logLines } from './lines.ts';

function setUp(t: TestContext, text?: string) {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-peers-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'peers');
  if (text !== undefined) writeFileSync(path, text);
  const { log, lines } = logLines();
  const bootstrapper = new StaticBootstrapper({ log, file: new PeersFile({ log }, path) }, []);
  const addresses = () => bootstrapper.addresses(AbortSignal.timeout(5_000));
  return { dir, path, lines, bootstrapper, addresses };
}

test('one entry a line; comments, empty lines, any line end and a byte order mark', async (t) => {
  const text = [
    '\uFEFF10.0.0.1:7\n',
    '# all of it\r\n',
    '\r\n  \t \n',
    `/ip4/10.0.0.2/tcp/7/p2p/${IDS[0]}  # of one\r`,
    ' 10.0.0.3\r\n',
    '[fd00::4]:7#no space\n',
    '10.0.0.1:7\n',
    'localhost:9',
  ];
  const { addresses, lines } = setUp(t, text.join(''));
  assert.deepEqual((await addresses()).slice(0, 5), [
    '/ip4/10.0.0.1/tcp/7',
    `/ip4/10.0.0.2/tcp/7/p2p/${IDS[0]}`,
    '/ip4/10.0.0.3/tcp/5001',
    '/ip6/fd00::4/tcp/7',
    '/ip4/127.0.0.1/tcp/9',
  ]);
  assert.deepEqual(lines, []);
});

test('a wrong line is logged once with its number and skipped', async (t) => {
  const { addresses, lines, path } = setUp(t, '10.0.0.1\n\nnode one\n10.0.0.2\n');
  for (let round = 0; round < 3; round++) {
    assert.deepEqual(await addresses(), ['/ip4/10.0.0.1/tcp/5001', '/ip4/10.0.0.2/tcp/5001']);
  }
  assert.equal(lines.length, 1);
  const [line] = lines;
  assert.deepEqual([line?.level, line?.file, line?.line], ['ERROR', path, 3]);
  assert.match(String(line?.error), /^expected a multiaddr .*, got "node one"$/);
});

test('a file that is no list is logged in a few lines, and a long one is cut', async (t) => {
  const { addresses, lines, path } = setUp(t, 'no list!\n'.repeat(5_000));
  assert.deepEqual(await addresses(), []);
  assert.equal(lines.length, 11);
  assert.equal(lines[10]?.lines, 5_000);
  const entries = Array.from({ length: 2_000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
  writeFileSync(path, entries.join('\n'));
  assert.equal((await addresses()).length, 1_024);
  assert.match(String(lines.at(-1)?.error), /expected at most 1024 peers, got more/);
});

test('while it cannot be read the last content counts; each reason is logged once', async (t) => {
  const { addresses, lines, path } = setUp(t);
  assert.deepEqual(await addresses(), []);
  await addresses();
  writeFileSync(path, '10.0.0.1');
  assert.equal((await addresses()).length, 1);
  const ways: [string, () => void, () => void][] = [
    ['gone', () => unlinkSync(path), () => {}],
    ['a directory', () => mkdirSync(path), () => rmSync(path, { recursive: true })],
    ['a FIFO', () => execFileSync('mkfifo', [path]), () => unlinkSync(path)],
    ['too long', () => writeFileSync(path, Buffer.alloc(1024 * 1024 + 1)), () => unlinkSync(path)],
  ];
  for (const [name, make, undo] of ways) {
    make();
    for (let round = 0; round < 2; round++) assert.equal((await addresses()).length, 1, name);
    undo();
  }
  writeFileSync(path, '10.0.0.1\n10.0.0.2');
  assert.equal((await addresses()).length, 2);
  const errors = lines.filter(({ level }) => level === 'ERROR').map(({ error }) => String(error));
  // A directory and a FIFO, one after the other, are one reason.
  assert.equal(errors.length, 4, errors.join('\n'));
  assert.match(errors[0] ?? '', /ENOENT/);
  assert.equal(lines.filter(({ msg }) => msg === 'peers file is read again').length, 2);
});

test('changed is called within two seconds of any kind of change, and not without one', async (t) => {
  const { dir, path, lines, bootstrapper, addresses } = setUp(t);
  let changes = 0;
  const end = new AbortController();
  await bootstrapper.start(end.signal, () => {
    changes++;
    // The watch goes on.
    if (changes === 1) throw new Error('on purpose');
  });
  t.after(() => bootstrapper.stop());
  const other = join(dir, 'other');
  const ways: [string, () => void, number][] = [
    ['it appears', () => writeFileSync(path, '10.0.0.1'), 1],
    ['edited in place', () => appendFileSync(path, '\n10.0.0.2'), 2],
    ['same length', () => writeFileSync(path, '10.0.0.1\n10.0.0.3'), 2],
    [
      'renamed into place',
      () => {
        writeFileSync(other, '10.0.0.4');
        renameSync(other, path);
      },
      1,
    ],
    ['it vanishes', () => unlinkSync(path), 1],
  ];
  // The first look of the watch.
  await new Promise((resolve) => setTimeout(resolve, 200));
  for (const [name, change, count] of ways) {
    const before = changes;
    change();
    await waitUntil(name, () => changes > before, { timeoutMs: 4_000 });
    assert.equal((await addresses()).length, count, name);
    assert.equal(changes, before + 1, name);
  }
  const before = changes;
  await new Promise((resolve) => setTimeout(resolve, 1_300));
  assert.equal(changes, before);
  assert.equal(lines.filter(({ error }) => error === 'on purpose').length, 1);
});

test('stop ends the watch', async (t) => {
  const { bootstrapper, path } = setUp(t, '10.0.0.1');
  await bootstrapper.start(AbortSignal.timeout(60_000), () => assert.fail('after stop'));
  await bootstrapper.stop();
  await bootstrapper.stop();
  writeFileSync(path, '10.0.0.2');
  await new Promise((resolve) => setTimeout(resolve, 1_200));
});
