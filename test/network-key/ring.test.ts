import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../../lab/processes/exec.ts';
import { SpegelError } from '../../lib/base/errors.ts';
import { createLogger } from '../../lib/base/log.ts';
import { NetworkKeyRing } from '../../lib/network-key/ring.ts';

/** Later is a fault. */
const SOON = { timeoutMs: 10_000 };

const OLD = '0123456789abcdef'.repeat(4);
const NEW = 'fedcba9876543210'.repeat(4);

/** The path of a key file in a directory of its own. */
async function keyPath(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-keys-'));
  t.after(() => rm(directory, { recursive: true }));
  return join(directory, 'key');
}

test('a ring reads its file again when it changes, and keeps its keys over a bad one', async (t) => {
  const path = await keyPath(t);
  const write = async (text: string) => {
    await writeFile(`${path}.new`, text, { mode: 0o600 });
    await rename(`${path}.new`, path);
  };
  const lines: string[] = [];
  const log = createLogger('DEBUG', (line) => lines.push(line));
  const ring = new NetworkKeyRing({ log }, path, 10);
  const signal = new AbortController().signal;
  assert.throws(() => ring.accepted(), /have not been read/);
  await assert.rejects(ring.start(signal), SpegelError);
  await write(OLD);
  await ring.start(signal);
  t.after(() => ring.stop());
  let changes = 0;
  ring.onChange(() => {
    changes += 1;
  });
  const hex = () => ring.accepted().map(({ dht }) => dht.export().toString('hex'));
  assert.deepEqual(hex(), [OLD]);
  await write(`${OLD}\n${NEW}`);
  await waitUntil('the new key is there', () => changes === 1, SOON);
  assert.deepEqual(hex(), [OLD, NEW]);
  await write(`${NEW}\n${OLD}`);
  await ring.reload();
  assert.deepEqual(hex(), [NEW, OLD]);
  const errors = () => lines.filter((line) => line.includes('"ERROR"'));
  await write('a typo');
  await waitUntil('the typo is logged', () => errors().length > 0, SOON);
  await Promise.all([ring.reload(), ring.reload(), sleep(60)]);
  assert.equal(errors().length, 1, lines.join(''));
  assert.deepEqual(hex(), [NEW, OLD]);
  assert.equal(changes, 2);
  await rm(path);
  await waitUntil('the missing file is logged', () => errors().length === 2, SOON);
  await write(`# same\n${NEW}\n${OLD}`);
  await ring.reload();
  assert.equal(changes, 2, 'another comment is no other key');
  await write(NEW);
  await waitUntil('the old key is gone', () => changes === 3, SOON);
  await ring.stop();
  await write(OLD);
  await sleep(50);
  assert.deepEqual(hex(), [NEW]);
  assert.doesNotMatch(lines.join(''), /[0-9a-f]{16}/, 'a key is in the log');
});

test('a listener that fails keeps neither the new keys nor the other listeners back', async (t) => {
  const path = await keyPath(t);
  await writeFile(path, OLD, { mode: 0o600 });
  const lines: string[] = [];
  const log = createLogger('DEBUG', (line) => lines.push(line));
  const ring = new NetworkKeyRing({ log }, path, 60_000);
  await ring.start(new AbortController().signal);
  t.after(() => ring.stop());
  let changes = 0;
  ring.onChange(() => {
    throw new Error('on purpose');
  });
  ring.onChange(() => {
    changes += 1;
  });
  await writeFile(path, NEW);
  await ring.reload();
  assert.equal(changes, 1);
  assert.equal(ring.accepted()[0].dht.export().toString('hex'), NEW);
  assert.match(lines.at(-1) ?? '', /a part failed to take them up.*on purpose/);
  assert.doesNotMatch(lines.join(''), /not changed/);
});
