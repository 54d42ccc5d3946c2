/** Several ranges in one request: the same answers for what is here and for what a peer has. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { assertSame, blob, blobPath, type Node, startNode } from '../mirror/support.ts';
import { assertParts, boundaryOf, type Part } from './multipart.ts';

const MIB = 1024 * 1024;
const SIZE = 2 * MIB;

/** A node, and the one that holds what it is asked for: itself or a peer. */
async function startPair(t: TestContext, isHere: boolean): Promise<{ node: Node; provider: Node }> {
  const provider = await startNode((stop) => t.after(stop));
  if (isHere) return { node: provider, provider };
  const node = await startNode((stop) => t.after(stop));
  node.router.candidates = [provider.candidate];
  return { node, provider };
}

function ask(node: Node, digest: string, range: string, more: Record<string, string> = {}) {
  return fetch(`${node.url}${blobPath(digest)}`, { headers: { Range: range, ...more } });
}

const SEVERAL: Record<string, readonly Part[]> = {
  'bytes=0-1,5-9': [
    [0, 2],
    [5, 10],
  ],
  'bytes=7-7,0-0,3-3': [
    [7, 8],
    [0, 1],
    [3, 4],
  ],
  // More than one buffer each, and the end of the blob.
  'bytes=10-1000009,-700000': [
    [10, 1_000_010],
    [SIZE - 700_000, SIZE],
  ],
  'bytes=0-9,1500000-': [
    [0, 10],
    [1_500_000, SIZE],
  ],
  // Three that overlap are one, one beyond the end is left out.
  'bytes=100-199,0-9,150-299,200-249,99999999-': [
    [100, 300],
    [0, 10],
  ],
};

/** `count` ranges of one byte each, with one byte between them. */
const manyRanges = (count: number) =>
  `bytes=${Array.from({ length: count }, (_, index) => `${2 * index}-${2 * index}`).join(',')}`;

for (const isHere of [true, false]) {
  const where = isHere ? 'here' : 'at a peer';

  test(`several ranges of a blob that is ${where}`, async (t) => {
    const { node, provider } = await startPair(t, isHere);
    const { bytes, digest } = blob(SIZE);
    provider.store.add(bytes);
    const boundaries = new Set<string>();
    for (const [range, parts] of Object.entries(SEVERAL)) {
      const response = await ask(node, digest, range);
      boundaries.add(boundaryOf(response.headers.get('content-type')));
      assert.equal(response.headers.get('docker-content-digest'), digest);
      assert.equal(response.headers.get('etag'), `"${digest}"`);
      assert.equal(response.headers.get('accept-ranges'), 'bytes');
      await assertParts(response, bytes, parts);
    }
    assert.equal(boundaries.size, Object.keys(SEVERAL).length, 'each has its own');
    assert.equal(provider.store.open, 0);
  });

  test(`64 ranges of a blob that is ${where} are answered, for 65 it comes whole`, async (t) => {
    const { node, provider } = await startPair(t, isHere);
    const { bytes, digest } = blob(1_000);
    provider.store.add(bytes);
    const parts = Array.from({ length: 64 }, (_, index): Part => [2 * index, 2 * index + 1]);
    await assertParts(await ask(node, digest, manyRanges(64)), bytes, parts);
    const whole = await ask(node, digest, manyRanges(65));
    assert.equal(whole.status, 200);
    assertSame(Buffer.from(await whole.arrayBuffer()), bytes);
    assert.equal(provider.store.open, 0);
  });

  test(`ranges of a blob that is ${where} cannot ask for a byte twice`, async (t) => {
    const { node, provider } = await startPair(t, isHere);
    const { bytes, digest } = blob(MIB);
    provider.store.add(bytes);
    const range = `bytes=${Array.from({ length: 64 }, (_, index) => `${index}-`).join(',')}`;
    const response = await ask(node, digest, range);
    assert.equal(response.status, 206);
    assert.equal(response.headers.get('content-range'), `bytes 0-${MIB - 1}/${MIB}`);
    assert.equal(response.headers.get('content-type'), 'application/octet-stream');
    assertSame(Buffer.from(await response.arrayBuffer()), bytes);
  });

  test(`no range of a blob that is ${where} can be had: 416`, async (t) => {
    const { node, provider } = await startPair(t, isHere);
    for (const size of [0, 10]) {
      const { bytes, digest } = blob(size);
      provider.store.add(bytes);
      const response = await ask(node, digest, 'bytes=10-,20-30,-0');
      assert.equal(response.status, 416);
      assert.equal(response.headers.get('content-range'), `bytes */${size}`);
      const { errors } = (await response.json()) as { errors: { code: string }[] };
      assert.equal(errors[0]?.code, 'UNSUPPORTED');
    }
    assert.equal(provider.store.open, 0);
  });

  test(`HEAD and If-Range with several ranges of a blob that is ${where}`, async (t) => {
    const { node, provider } = await startPair(t, isHere);
    const { bytes, digest } = blob(1_000);
    provider.store.add(bytes);
    const headers = { Range: 'bytes=0-1,5-9' };
    const head = await fetch(`${node.url}${blobPath(digest)}`, { method: 'HEAD', headers });
    assert.equal(head.status, 200);
    assert.equal(head.headers.get('content-length'), '1000');
    const other = await ask(node, digest, 'bytes=0-1,5-9', { 'If-Range': '"other"' });
    assert.equal(other.status, 200);
    assertSame(Buffer.from(await other.arrayBuffer()), bytes);
    const same = await ask(node, digest, 'bytes=0-1,5-9', { 'If-Range': `"${digest}"` });
    await assertParts(same, bytes, SEVERAL['bytes=0-1,5-9'] ?? []);
  });
}

test('a media type that would add headers is not passed on', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(1_000);
  node.store.add(bytes);
  const { store } = node;
  const sourceOf = store.source.bind(store);
  for (const mediaType of ['text/plain\r\nX-Other: 1', 'text/plain\r\n\r\n--', '', 'a', 'ü/ü']) {
    store.source = async (wanted) => {
      const source = await sourceOf(wanted);
      return source && { ...source, mediaType };
    };
    const several = await ask(node, digest, 'bytes=0-1,5-9');
    await assertParts(several, bytes, SEVERAL['bytes=0-1,5-9'] ?? []);
    const one = await ask(node, digest, 'bytes=5-9');
    assert.equal(one.status, 206);
    assert.equal(one.headers.get('content-type'), 'application/octet-stream');
    assertSame(Buffer.from(await one.arrayBuffer()), bytes.subarray(5, 10));
  }
  assert.equal(store.open, 0);
});

test('a client on another host gets several ranges of what is here', async (t) => {
  const node = await startNode((stop) => t.after(stop), { own: { has: () => false } });
  const { bytes, digest } = blob(1_000);
  node.store.add(bytes);
  const response = await ask(node, digest, 'bytes=0-1,5-9');
  await assertParts(response, bytes, SEVERAL['bytes=0-1,5-9'] ?? []);
});

test('a peer is answered one range', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(1_000);
  node.store.add(bytes);
  const mirrored = { 'X-Spegel-Mirrored': 'true' };
  assert.equal((await ask(node, digest, 'bytes=5-9', mirrored)).status, 206);
  const whole = await ask(node, digest, 'bytes=0-1,5-9', mirrored);
  assert.equal(whole.status, 200);
  assertSame(Buffer.from(await whole.arrayBuffer()), bytes);
});

test('several ranges of a blob that no host has are 404', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const response = await ask(node, blob(1).digest, 'bytes=0-1,5-9');
  assert.equal(response.status, 404);
});
