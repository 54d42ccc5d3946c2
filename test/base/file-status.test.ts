import assert from 'node:assert/strict';
import { chmod, link, mkdtemp, open, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { statusByPool, statusOf } from '../../lib/base/file-status.ts';

async function makeFile(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-status-'));
  t.after(() => rm(dir, { recursive: true }));
  const path = join(dir, 'file');
  await writeFile(path, 'one');
  return path;
}

test('the kernel at once and the thread pool tell the same, after each change', async (t) => {
  const path = await makeFile(t);
  await using file = await open(path, 'r');
  const changes = [
    async () => {},
    () => writeFile(path, 'longer'),
    () => chmod(path, 0o600),
    () => link(path, `${path}-2`),
    () => rename(`${path}-2`, `${path}-3`),
    () => unlink(`${path}-3`),
    () => unlink(path),
  ];
  const links: number[] = [];
  const times = new Set<bigint>();
  for (const change of changes) {
    await change();
    const status = await statusOf(file);
    assert.deepEqual(status, await statusByPool(file));
    assert.equal(status.isRegular, true);
    links.push(status.links);
    times.add(status.changedNs);
    // The clock of file systems goes in steps of up to 10 ms.
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.deepEqual(links, [1, 1, 1, 2, 2, 1, 0]);
  assert.equal(times.size, changes.length);
});

test('a file over 4 GiB has its size, and a directory is no file', async (t) => {
  const path = await makeFile(t);
  await using file = await open(path, 'r+');
  await file.truncate(2 ** 33 + 5);
  assert.equal((await statusOf(file)).size, 2 ** 33 + 5);
  await using directory = await open(tmpdir(), 'r');
  assert.equal((await statusOf(directory)).isRegular, false);
});
