import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { link, mkdtemp, readdir, readlink, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { KEPT_OPEN_MS, MAX_KEPT_OPEN } from '../../lib/store/constants.ts';
import { OpenFiles } from '../../lib/store/open-files.ts';
import type { Reader } from '../../lib/store/store.ts';

const never = new AbortController().signal;
const SIZE = 300_000;
const ABSENT = { code: 'ENOENT' };

async function start(t: TestContext): Promise<{ files: OpenFiles; dir: string; path: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-open-files-'));
  const files = new OpenFiles();
  t.after(async () => {
    await files.close();
    await rm(dir, { recursive: true });
  });
  return { files, dir, path: join(dir, 'blob') };
}

/** How many descriptors this process has below a path, deleted files included. */
async function openBelow(path: string): Promise<number> {
  const names = await readdir('/proc/self/fd');
  const links = await Promise.all(
    names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')),
  );
  return links.filter((to) => to.startsWith(path)).length;
}

async function untilOpen(count: number, path: string): Promise<void> {
  const end = performance.now() + 10_000;
  for (;;) {
    const open = await openBelow(path);
    if (open === count) return;
    assert.ok(performance.now() < end, `${open} descriptors, not ${count}`);
    await turn();
  }
}

async function readAt(reader: Reader, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  return buffer.subarray(0, await reader.read(buffer, position, never));
}

async function bytesOf(files: OpenFiles, path: string): Promise<Buffer> {
  const reader = await files.open(path, (await files.size(path)) ?? 0, never);
  try {
    return await readAt(reader, 0, SIZE);
  } finally {
    await reader.close();
  }
}

test('many readers of one file have one descriptor, and each its own position', async (t) => {
  const { files, dir, path } = await start(t);
  const bytes = randomBytes(SIZE);
  await writeFile(path, bytes);
  const one = async (index: number) => {
    assert.equal(await files.size(path), SIZE);
    const reader = await files.open(path, SIZE, never);
    for (let at = index * 97; at < SIZE; at += 50_000) {
      const got = await readAt(reader, at, 1_000);
      assert.ok(got.equals(bytes.subarray(at, at + 1_000)), `reader ${index} at ${at}`);
    }
    return reader;
  };
  const readers = await Promise.all(Array.from({ length: 20 }, (_, index) => one(index)));
  assert.equal(await openBelow(dir), 1);
  for (const reader of readers) await reader.close();
  assert.equal(await openBelow(dir), 1);
});

test('a reader that is closed reads nothing of a file that others have open', async (t) => {
  const { files, path } = await start(t);
  await writeFile(path, randomBytes(SIZE));
  const [closed, other] = [
    await files.open(path, SIZE, never),
    await files.open(path, SIZE, never),
  ];
  await Promise.all([closed.close(), closed.close()]);
  assert.equal(closed.inFile?.(), undefined);
  await assert.rejects(readAt(closed, 0, 1), /reader is closed/);
  assert.equal((await readAt(other, 0, SIZE)).byteLength, SIZE);
  assert.equal(other.inFile?.()?.end, SIZE);
  await other.close();
});

test('a file is open for its time, and beyond it for a reader that has it', async (t) => {
  const { files, dir, path } = await start(t);
  await writeFile(path, 'whole');
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const reader = await files.open(path, 5, never);
  t.mock.timers.tick(KEPT_OPEN_MS - 1);
  await files.size(path);
  assert.equal(await openBelow(dir), 1);
  t.mock.timers.tick(1);
  // The use a moment ago does not prolong it.
  const second = await files.open(path, 5, never);
  assert.equal(await openBelow(dir), 2);
  assert.equal((await readAt(reader, 0, 9)).toString(), 'whole');
  await reader.close();
  assert.equal(await openBelow(dir), 1);
  await second.close();
  assert.equal(await openBelow(dir), 1);
  t.mock.timers.tick(KEPT_OPEN_MS);
  await untilOpen(0, dir);
});

test('a file that is deleted is gone at once, and finished by those that read it', async (t) => {
  const { files, dir, path } = await start(t);
  const bytes = randomBytes(SIZE);
  await writeFile(path, bytes);
  const reader = await files.open(path, SIZE, never);
  await unlink(path);
  await assert.rejects(files.size(path), ABSENT);
  await assert.rejects(files.open(path, SIZE, never), ABSENT);
  assert.ok((await readAt(reader, 0, SIZE)).equals(bytes));
  await reader.close();
  assert.equal(await openBelow(dir), 0, 'it still takes its place on the disk');
});

test('a file that is deleted while nobody reads it is closed by the next request', async (t) => {
  const { files, dir, path } = await start(t);
  await writeFile(path, 'whole');
  await files.size(path);
  await unlink(path);
  await assert.rejects(files.size(path), ABSENT);
  await untilOpen(0, dir);
});

test('what has the path now counts: replaced, one of two names deleted, written anew', async (t) => {
  const { files, dir, path } = await start(t);
  await writeFile(path, 'first');
  assert.equal((await bytesOf(files, path)).toString(), 'first');
  await writeFile(join(dir, 'new'), 'second');
  await rename(join(dir, 'new'), path);
  assert.equal((await bytesOf(files, path)).toString(), 'second');
  await link(path, join(dir, 'other'));
  await unlink(path);
  await assert.rejects(files.size(path), ABSENT);
  await rename(join(dir, 'other'), path);
  assert.equal((await bytesOf(files, path)).toString(), 'second');
  await writeFile(path, 'a third one');
  assert.equal((await bytesOf(files, path)).toString(), 'a third one');
  await untilOpen(1, dir);
});

test('a directory in the place of another counts after the time', async (t) => {
  const { files, dir } = await start(t);
  const path = join(dir, 'blobs', 'blob');
  execFileSync('mkdir', ['-p', join(dir, 'blobs'), join(dir, 'restored')]);
  await writeFile(path, 'before');
  await writeFile(join(dir, 'restored', 'blob'), 'restored');
  t.mock.timers.enable({ apis: ['setTimeout'] });
  await bytesOf(files, path);
  await rename(join(dir, 'blobs'), join(dir, 'away'));
  await rename(join(dir, 'restored'), join(dir, 'blobs'));
  t.mock.timers.tick(KEPT_OPEN_MS);
  assert.equal((await bytesOf(files, path)).toString(), 'restored');
});

test('no more than so many files are kept open, however many are asked for', async (t) => {
  const { files, dir } = await start(t);
  const count = MAX_KEPT_OPEN + 40;
  const paths = Array.from({ length: count }, (_, index) => join(dir, `${index}`));
  for (const path of paths) await writeFile(path, path);
  const first = await files.open(paths[0] ?? '', SIZE, never);
  await Promise.all(paths.map((path) => files.size(path)));
  for (const path of paths) assert.equal((await bytesOf(files, path)).toString(), path);
  await untilOpen(MAX_KEPT_OPEN + 1, dir);
  assert.equal((await readAt(first, 0, SIZE)).toString(), paths[0]);
  await first.close();
  await untilOpen(MAX_KEPT_OPEN, dir);
});

test('closing closes all but what is read, and keeps nothing from then on', async (t) => {
  const { files, dir, path } = await start(t);
  await writeFile(path, 'whole');
  await writeFile(join(dir, 'other'), 'other');
  await files.size(join(dir, 'other'));
  const reader = await files.open(path, 5, never);
  await files.close();
  assert.equal(await openBelow(dir), 1);
  assert.equal((await readAt(reader, 0, 5)).toString(), 'whole');
  await reader.close();
  assert.equal(await openBelow(dir), 0);
  assert.equal((await bytesOf(files, path)).toString(), 'whole');
  await untilOpen(0, dir);
});

test('a file that is missing is asked for each time', async (t) => {
  const { files, dir, path } = await start(t);
  const many = await Promise.allSettled(Array.from({ length: 10 }, () => files.size(path)));
  for (const one of many) assert.equal(one.status, 'rejected');
  await writeFile(path, 'here');
  assert.equal(await files.size(path), 4);
  assert.equal(await openBelow(dir), 1);
});

test('a pipe or a directory has no size, and holds up nobody', async (t) => {
  const { files, dir, path } = await start(t);
  execFileSync('mkfifo', [path]);
  assert.equal(await files.size(path), undefined);
  assert.equal(await files.size(dir), undefined);
});

test('an abort while the file is opened: its reason, and no use that stays', async (t) => {
  const { files, dir, path } = await start(t);
  await writeFile(path, 'whole');
  const abort = new AbortController();
  const opening = files.open(path, 5, abort.signal);
  abort.abort(new Error('enough'));
  await assert.rejects(opening, /enough/);
  await assert.rejects(files.open(path, 5, abort.signal), /enough/);
  await files.close();
  assert.equal(await openBelow(dir), 0);
});
