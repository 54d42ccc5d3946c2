import assert from 'node:assert/strict';
import { mkdtemp, open, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { type Digest, digestOf } from '../../lib/oci/digest.ts';
import type { ContentStore, Reader } from '../../lib/store/store.ts';
import {
  assertSame,
  blob,
  blobPath,
  MemoryStore,
  manifestPath,
  type Node,
  startNode,
} from '../mirror/support.ts';

const MIB = 1024 * 1024;
const SIZE = 64 * MIB;

/** A store with one blob in a file, as the real ones have it. */
async function fileStore(
  t: TestContext,
): Promise<{ store: ContentStore; digest: Digest; path: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-test-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'blob');
  const { bytes, digest } = blob(SIZE);
  await writeFile(path, bytes);
  const store = new MemoryStore();
  store.source = async (wanted) => {
    if (wanted !== digest) return undefined;
    const openFile = async (): Promise<Reader> => {
      const file = await open(path);
      return {
        read: async (buffer, position) =>
          (await file.read(buffer, 0, buffer.byteLength, position)).bytesRead,
        close: () => file.close(),
      };
    };
    return { digest, size: SIZE, mediaType: undefined, open: openFile };
  };
  return { store, digest, path };
}

/** Open descriptors: how many in all, and how many of `path`. */
async function descriptors(path: string): Promise<{ all: number; ofPath: number }> {
  const names = await readdir('/proc/self/fd');
  const links = await Promise.all(
    names.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  return { all: links.length, ofPath: links.filter((link) => link === path).length };
}

/** Starts `count` downloads and breaks each off after its first bytes. */
async function abortMany(node: Node, path: string, count: number, range: string): Promise<void> {
  const [host = '', port] = node.address.split(':');
  const one = async () => {
    const socket = connect({ host, port: Number(port) });
    socket.on('error', () => {});
    socket.write(`GET ${path} HTTP/1.1\r\nRange: bytes=${range}\r\n\r\n`);
    await new Promise((resolve) => socket.once('data', resolve));
    socket.destroy();
  };
  for (let done = 0; done < count; done += 10) await Promise.all(Array.from({ length: 10 }, one));
}

async function settled(check: () => Promise<boolean>): Promise<boolean> {
  for (let count = 0; count < 100; count += 1) {
    if (await check()) return true;
    await delay(20);
  }
  return false;
}

/**
 * The rest in one; a small part and a large one; the same where the first bytes are the large
 * part's.
 */
for (const range of ['1-', '0-9,1000-', '1000-,0-9']) {
  test(`aborted downloads of ${range} free descriptors and buffers at once: served from a file`, async (t) => {
    const { store, digest, path } = await fileStore(t);
    const node = await startNode((stop) => t.after(stop), { store });
    await abortMany(node, blobPath(digest), 20, range);
    const before = await descriptors(path);
    const memory = process.memoryUsage().external + process.memoryUsage().arrayBuffers;
    await abortMany(node, blobPath(digest), 200, range);
    const isFreed = await settled(async () => {
      const now = await descriptors(path);
      return now.ofPath === 0 && now.all <= before.all;
    });
    assert.ok(isFreed, JSON.stringify(await descriptors(path)));
    const grown = process.memoryUsage().external + process.memoryUsage().arrayBuffers - memory;
    // What is kept would be 200 buffers; a few wait for the garbage collector.
    assert.ok(grown < 32 * MIB, `${grown} bytes`);
  });

  test(`aborted downloads of ${range} free descriptors and buffers at once: relayed from a peer`, async (t) => {
    const { store, digest, path } = await fileStore(t);
    const provider = await startNode((stop) => t.after(stop), { store });
    const node = await startNode((stop) => t.after(stop));
    node.router.candidates = [provider.candidate];
    await abortMany(node, blobPath(digest), 20, range);
    const isQuiet = async () => (await descriptors(path)).ofPath === 0;
    assert.ok(await settled(isQuiet));
    const before = await descriptors(path);
    await abortMany(node, blobPath(digest), 100, range);
    const isFreed = await settled(async () => {
      const now = await descriptors(path);
      return now.ofPath === 0 && now.all <= before.all;
    });
    assert.ok(isFreed, JSON.stringify(await descriptors(path)));
  });
}

for (const headers of ['', 'Range: bytes=0-9,1000-\r\n']) {
  test(`a client that stops reading keeps no more than its buffers: ${headers.trim()}`, async (t) => {
    const { store, digest, path } = await fileStore(t);
    const provider = await startNode((stop) => t.after(stop), { store });
    const node = await startNode((stop) => t.after(stop));
    node.router.candidates = [provider.candidate];
    const memory = process.memoryUsage().arrayBuffers;
    const [host = '', port] = node.address.split(':');
    const sockets = Array.from({ length: 5 }, () => {
      const socket = connect({ host, port: Number(port) });
      socket.write(`GET ${blobPath(digest)} HTTP/1.1\r\n${headers}\r\n`);
      return socket.pause();
    });
    t.after(() => {
      for (const socket of sockets) socket.destroy();
    });
    await delay(500);
    assert.ok(process.memoryUsage().arrayBuffers - memory < 5 * 4 * MIB);
    for (const socket of sockets) socket.destroy();
    assert.ok(await settled(async () => (await descriptors(path)).ofPath === 0));
  });
}

const never = <T>(): Promise<T> => new Promise<T>(() => {});
const source = (digest: Digest, openIt: () => Promise<Reader>) => ({
  digest,
  size: SIZE,
  mediaType: undefined,
  open: openIt,
});

/** Ways in which a store can hang or break. */
const BROKEN: Record<string, (store: MemoryStore) => void> = {
  'source hangs': (store) => {
    store.source = never;
    store.resolve = never;
  },
  'source throws': (store) => {
    store.source = () => Promise.reject(new Error('broken'));
    store.resolve = () => Promise.reject(new Error('broken'));
  },
  'open hangs': (store) => {
    store.source = async (digest) => source(digest, never);
  },
  'open throws': (store) => {
    store.source = async (digest) => source(digest, () => Promise.reject(new Error('EIO')));
  },
  'read hangs': (store) => {
    const reader = { read: never<number>, close: async () => {} };
    store.source = async (digest) => source(digest, async () => reader);
  },
  'read throws': (store) => {
    const read = () => Promise.reject(new Error('EIO'));
    store.source = async (digest) => source(digest, async () => ({ read, close: async () => {} }));
  },
  'the file is empty': (store) => {
    const reader = { read: async () => 0, close: async () => {} };
    store.source = async (digest) => source(digest, async () => reader);
  },
};

for (const [name, breakIt] of Object.entries(BROKEN)) {
  test(`${name}: containerd gets its 404, or the blob from a peer, in time`, async (t) => {
    const { bytes, digest } = blob(2 * MIB);
    const provider = await startNode((stop) => t.after(stop));
    const node = await startNode((stop) => t.after(stop));
    breakIt(node.store);
    const other = digestOf(Buffer.from(name));
    for (const path of [blobPath(digest), manifestPath(other), manifestPath('v1')]) {
      const startedAt = performance.now();
      assert.equal((await fetch(`${node.url}${path}`)).status, 404);
      assert.ok(performance.now() - startedAt < 2_000);
    }
    provider.store.add(bytes);
    node.router.candidates = [provider.candidate];
    const response = await fetch(`${node.url}${blobPath(digest)}`);
    assertSame(Buffer.from(await response.arrayBuffer()), bytes);
  });
}

test('a local file that ends early is cut cleanly', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(4 * MIB);
  node.store.source = async () => {
    const close = async () => {};
    const read = async (buffer: Uint8Array, position: number) => {
      const piece = bytes.subarray(position, position + buffer.byteLength);
      buffer.set(piece);
      return piece.byteLength;
    };
    return source(digest, async () => ({ read, close }));
  };
  const [host = '', port] = node.address.split(':');
  const socket = connect({ host, port: Number(port) });
  socket.write(`GET ${blobPath(digest)} HTTP/1.1\r\n\r\n`);
  let length = 0;
  for await (const piece of socket) length += (piece as Buffer).byteLength;
  assert.ok(length >= bytes.byteLength && length < SIZE);
});
