/** Blobs on a disk that is slow on purpose: nothing else in this process waits for it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertSame, blobPath, manifestOf, manifestPath, type Node } from '../mirror/support.ts';
import { diskWaitMs } from '../support/disk-wait.ts';
import { evict, slowDisk, slowDiskMissing } from '../support/slow-disk.ts';
import { type FileNode, type OnDisk, startFileNode } from './file-node.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SLOW = { skip: slowDiskMissing };
/** Of a slice that the disk gives meanwhile, the main thread would wait 250 ms. */
const BYTES_PER_S = 4 * MIB;
const MAX_WAIT_MS = 60;

/** A blob of random bytes in a file. */
interface Random extends OnDisk {
  readonly bytes: Buffer;
}

async function addRandom({ add }: FileNode, root: string, size: number): Promise<Random> {
  const bytes = randomBytes(size);
  return { bytes, ...(await add(root, bytes)) };
}

/** Gets a blob and compares it. `onBytes` is told how many have come. */
async function fetchBlob(
  { url }: Node,
  { digest, bytes }: Random,
  start = 0,
  onBytes: (count: number) => void = () => {},
): Promise<void> {
  const headers = { Range: `bytes=${start}-` };
  const pieces: Buffer[] = [];
  let count = 0;
  await new Promise<void>((resolve, reject) => {
    get(`${url}${blobPath(digest)}`, { headers, agent: false }, (answer) => {
      answer.on('data', (piece: Buffer) => {
        pieces.push(piece);
        count += piece.length;
        onBytes(count);
      });
      answer.on('error', reject).on('end', resolve);
    }).on('error', reject);
  });
  assertSame(Buffer.concat(pieces), bytes.subarray(start));
}

/** Gets a blob from `start` on, as often as it is refused, until the signal is aborted. */
async function askAgain(
  { url }: Node,
  { digest }: Random,
  start: number,
  signal: AbortSignal,
): Promise<void> {
  const headers = { Range: `bytes=${start}-` };
  while (!signal.aborted) {
    const got = await fetch(`${url}${blobPath(digest)}`, { headers, signal }).catch(
      () => undefined,
    );
    await got?.arrayBuffer().catch(() => {});
    await sleep(50);
  }
}

/** Brings the pages beside each multiple of `every` into the page cache, and few others. */
async function readAround({ path, bytes }: Random, every: number): Promise<void> {
  await using file = await open(path);
  for (let at = every; at < bytes.length; at += every)
    await file.read(Buffer.alloc(8 * KIB), 0, 8 * KIB, at - 4 * KIB);
}

test('a cold blob from a slow disk: others are answered meanwhile', SLOW, async (t) => {
  const files = await startFileNode(t, 'sent by the kernel');
  const { node, store } = files;
  const root = await slowDisk(t, BYTES_PER_S);
  const [cold, warm] = [
    await addRandom(files, root, 10 * MIB),
    await addRandom(files, root, 10 * MIB),
  ];
  const manifest = manifestOf([Buffer.from('config')]);
  const digest = store.add(manifest);
  evict(cold.path);
  let isOver = false;
  let answered = 0;
  const waited = await diskWaitMs(async () => {
    const slow = fetchBlob(node, cold).then(() => {
      isOver = true;
    });
    await fetchBlob(node, warm);
    assert.equal(isOver, false);
    while (!isOver) {
      const answer = await fetch(`${node.url}${manifestPath(digest)}`);
      assertSame(Buffer.from(await answer.arrayBuffer()), manifest);
      answered += 1;
    }
    await slow;
  });
  assert.ok(answered > 5, `${answered} manifests`);
  assert.ok(waited < MAX_WAIT_MS, `${waited} ms`);
});

test('many clients of one cold blob, each a bit behind the other', SLOW, async (t) => {
  const files = await startFileNode(t, 'sent by the kernel');
  const { node } = files;
  const cold = await addRandom(files, await slowDisk(t, BYTES_PER_S), 8 * MIB);
  evict(cold.path);
  const starts = Array.from({ length: 8 }, (_, index) => index * 100 * KIB);
  const waited = await diskWaitMs(() =>
    Promise.all(starts.map((start) => fetchBlob(node, cold, start))),
  );
  assert.ok(waited < MAX_WAIT_MS, `${waited} ms`);
});

test('many clients of one cold blob: other blobs are opened meanwhile', SLOW, async (t) => {
  const files = await startFileNode(t, 'sent by the kernel');
  const { node } = files;
  const fast = await mkdtemp('/var/tmp/spegel-fast-disk-');
  t.after(() => rm(fast, { recursive: true }));
  const cold = await addRandom(files, await slowDisk(t, BYTES_PER_S), 96 * MIB);
  const others: Random[] = [];
  for (let count = 0; count < 12; count += 1) others.push(await addRandom(files, fast, 64 * KIB));
  evict(cold.path);
  const ended = new AbortController();
  // Those that get no first piece in time are answered 404, which is not looked at here.
  const slow = Array.from({ length: 24 }, (_, index) =>
    askAgain(node, cold, index * 4 * MIB, ended.signal),
  );
  try {
    await sleep(500);
    for (const other of others) await fetchBlob(node, other);
  } finally {
    ended.abort();
    await Promise.all(slow);
  }
});

test(
  'a page cache with holes: what a look finds is not taken for all before it',
  SLOW,
  async (t) => {
    const files = await startFileNode(t, 'sent by the kernel');
    const { node } = files;
    const holey = await addRandom(files, await slowDisk(t, BYTES_PER_S), 6 * MIB);
    evict(holey.path);
    await readAround(holey, 128 * KIB);
    const waited = await diskWaitMs(() => fetchBlob(node, holey));
    assert.ok(waited < MAX_WAIT_MS, `${waited} ms`);
  },
);

test('a blob that leaves the page cache while it is sent', SLOW, async (t) => {
  const files = await startFileNode(t, 'sent by the kernel');
  const { node } = files;
  const blob = await addRandom(files, await slowDisk(t, BYTES_PER_S), 16 * MIB);
  let isEvicted = false;
  const onBytes = (count: number) => {
    if (isEvicted || count < 5 * MIB) return;
    isEvicted = true;
    evict(blob.path);
  };
  const waited = await diskWaitMs(() => fetchBlob(node, blob, 0, onBytes));
  assert.ok(isEvicted);
  assert.ok(waited < MAX_WAIT_MS, `${waited} ms`);
});

test('a file system that cannot tell what it has in memory: the same bytes', SLOW, async (t) => {
  const files = await startFileNode(t, 'sent by the kernel');
  const { node } = files;
  const root = await mkdtemp(join(tmpdir(), 'spegel-tmpfs-'));
  execFileSync('mount', ['-t', 'tmpfs', 'none', root]);
  t.after(() => {
    execFileSync('umount', ['-l', root]);
    return rm(root, { recursive: true });
  });
  await fetchBlob(node, await addRandom(files, root, 9 * MIB + 1), 3);
});
