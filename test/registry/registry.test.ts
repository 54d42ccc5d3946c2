import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { test } from 'node:test';
import { digestOf } from '../../lib/oci/digest.ts';
import {
  assertSame,
  blob,
  blobPath,
  manifestOf,
  manifestPath,
  type Node,
  startNode,
} from '../mirror/support.ts';

const MIB = 1024 * 1024;
const MIRRORED = { 'X-Spegel-Mirrored': 'true' };

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

async function errorOf(response: Response): Promise<string> {
  assert.equal(response.headers.get('content-type'), 'application/json');
  const { errors } = (await response.json()) as { errors: { code: string; message: string }[] };
  assert.equal(typeof errors[0]?.message, 'string');
  return errors[0]?.code ?? '';
}

test('a local blob is answered with all its headers, by GET and HEAD', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(MIB + 3);
  node.store.add(bytes);
  for (const method of ['GET', 'HEAD']) {
    const response = await fetch(`${node.url}${blobPath(digest)}`, { method });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-length'), String(bytes.byteLength));
    assert.equal(response.headers.get('content-type'), 'application/octet-stream');
    assert.equal(response.headers.get('docker-content-digest'), digest);
    assert.equal(response.headers.get('oci-namespace'), 'example.com');
    assert.equal(response.headers.get('x-spegel-peer'), node.peerId);
    assertSame(await bytesOf(response), method === 'GET' ? bytes : Buffer.alloc(0));
  }
  assert.equal(node.store.open, 0);
});

test('an empty blob and one byte are answered', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const provider = await startNode((stop) => t.after(stop));
  node.router.candidates = [provider.candidate];
  for (const size of [0, 1]) {
    for (const store of [provider.store, node.store]) {
      const { bytes, digest } = blob(size);
      store.add(bytes);
      const response = await fetch(`${node.url}${blobPath(digest)}`);
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('content-length'), String(size));
      assertSame(await bytesOf(response), bytes);
    }
  }
});

/** header, status and bytes: the same for what is here and for what comes from a peer. */
const RANGES: [string, number, number, number][] = [
  ['bytes=5-', 206, 5, 2 * MIB],
  ['bytes=5-9', 206, 5, 10],
  ['bytes=5-99999999', 206, 5, 2 * MIB],
  ['bytes=-7', 206, 2 * MIB - 7, 2 * MIB],
  ['bytes=0-0', 206, 0, 1],
  ['bytes=0-', 200, 0, 2 * MIB],
  ['bytes=1-2,3-4', 206, 1, 5],
  ['bytes=-7,99999999-', 206, 2 * MIB - 7, 2 * MIB],
  ['bytes=0-9,5-', 206, 0, 2 * MIB],
  ['bytes=1-2,9-5', 200, 0, 2 * MIB],
  ['bytes=9-5', 200, 0, 2 * MIB],
  ['items=0-5', 200, 0, 2 * MIB],
];

for (const isHere of [true, false]) {
  test(`ranges of a blob that is ${isHere ? 'here' : 'at a peer'}`, async (t) => {
    const provider = await startNode((stop) => t.after(stop));
    const node = isHere ? provider : await startNode((stop) => t.after(stop));
    node.router.candidates = isHere ? [] : [provider.candidate];
    const { bytes, digest } = blob(2 * MIB);
    provider.store.add(bytes);
    for (const [range, status, start, end] of RANGES) {
      const headers = { Range: range };
      const response = await fetch(`${node.url}${blobPath(digest)}`, { headers });
      assert.equal(response.status, status, range);
      const expected = status === 206 ? `bytes ${start}-${end - 1}/${2 * MIB}` : null;
      assert.equal(response.headers.get('content-range'), expected);
      assertSame(await bytesOf(response), bytes.subarray(start, end));
    }
  });

  test(`parallel fetch of a blob that is ${isHere ? 'here' : 'at a peer'}`, async (t) => {
    const provider = await startNode((stop) => t.after(stop), { parallelFetch: isHere });
    const node = isHere
      ? provider
      : await startNode((stop) => t.after(stop), { parallelFetch: true });
    node.router.candidates = isHere ? [] : [provider.candidate];
    const { bytes, digest } = blob(2 * MIB);
    provider.store.add(bytes);
    const headers = { Range: 'bytes=0-' };
    const response = await fetch(`${node.url}${blobPath(digest)}`, { headers });
    assert.equal(response.status, 206);
    assert.equal(response.headers.get('content-range'), `bytes 0-${2 * MIB - 1}/${2 * MIB}`);
    assertSame(await bytesOf(response), bytes);
  });
}

test('a range that cannot be is 416', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(10);
  node.store.add(bytes);
  for (const range of ['bytes=10-', 'bytes=-0', 'bytes=99999999999999999999-']) {
    const response = await fetch(`${node.url}${blobPath(digest)}`, { headers: { Range: range } });
    assert.equal(response.status, 416, range);
    assert.equal(response.headers.get('content-range'), 'bytes */10');
    assert.equal(await errorOf(response), 'UNSUPPORTED');
  }
});

test('If-Range with another validator asks for the whole', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(10);
  node.store.add(bytes);
  for (const [condition, status] of [
    [`"${digest}"`, 206],
    ['"other"', 200],
  ] as const) {
    const headers = { Range: 'bytes=5-', 'If-Range': condition };
    const response = await fetch(`${node.url}${blobPath(digest)}`, { headers });
    assert.equal(response.status, status);
  }
});

test('a manifest is answered with its real type, by digest and tag, GET and HEAD', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const manifest = manifestOf([Buffer.from('a'), Buffer.from('b')]);
  const digest = node.store.add(manifest);
  node.store.tags.set('example.com/test/app:v1', digest);
  for (const target of [digest, 'v1']) {
    for (const method of ['GET', 'HEAD']) {
      // containerd 2.1.0 to 2.1.4 send a range on every GET.
      const headers = { Range: 'bytes=0-' };
      const response = await fetch(`${node.url}${manifestPath(target)}`, { method, headers });
      assert.equal(response.status, 200);
      const type = response.headers.get('content-type');
      assert.equal(type, 'application/vnd.oci.image.manifest.v1+json');
      assert.equal(response.headers.get('docker-content-digest'), digest);
      assert.equal(response.headers.get('content-length'), String(manifest.byteLength));
      const body = await bytesOf(response);
      assertSame(body, method === 'GET' ? manifest : Buffer.alloc(0));
    }
  }
});

test('what is no manifest is not answered as one', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const digest = node.store.add(Buffer.from('a layer'));
  const response = await fetch(`${node.url}${manifestPath(digest)}`);
  assert.equal(response.status, 404);
  assert.equal(await errorOf(response), 'MANIFEST_UNKNOWN');
});

test('HEAD of a blob that a peer has tells its size', async (t) => {
  const provider = await startNode((stop) => t.after(stop));
  const node = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(1_000);
  provider.store.add(bytes);
  node.router.candidates = [provider.candidate];
  const response = await fetch(`${node.url}${blobPath(digest)}`, { method: 'HEAD' });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-length'), '1000');
  const missing = await fetch(`${node.url}${blobPath(blob(1).digest)}`, { method: 'HEAD' });
  assert.equal(missing.status, 404);
});

test('a miss says what was tried', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  node.router.candidates = [{ peerId: 'gone', addresses: ['127.0.0.1:1'] }];
  const { digest } = blob(1);
  const response = await fetch(`${node.url}${blobPath(digest)}`);
  assert.equal(response.status, 404);
  const { errors } = (await response.json()) as { errors: unknown[] };
  const [{ detail }] = errors as [{ detail: { key: string; tried: { peerId: string }[] } }];
  assert.equal(detail.key, digest);
  assert.equal(detail.tried[0]?.peerId, 'gone');
});

test('peers and clients that are not mirrored get local content or 404, never another hop', async (t) => {
  const provider = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(1_000);
  provider.store.add(bytes);
  const nobody = { has: () => false };
  const nodes: [Node, Record<string, string>][] = [
    [await startNode((stop) => t.after(stop)), MIRRORED],
    [await startNode((stop) => t.after(stop), { own: nobody, mirrorClients: 'host' }), {}],
  ];
  for (const [node, headers] of nodes) {
    node.router.candidates = [provider.candidate];
    for (const path of [blobPath(digest), manifestPath(digest), manifestPath('v1')]) {
      for (const method of ['GET', 'HEAD']) {
        const response = await fetch(`${node.url}${path}`, { headers, method });
        assert.equal(response.status, 404);
      }
    }
    assert.equal(node.router.lookups, 0);
    node.store.add(bytes);
    const here = await fetch(`${node.url}${blobPath(digest)}`, { headers });
    assertSame(await bytesOf(here), bytes);
  }
});

test('filtered names are neither served nor looked up', async (t) => {
  const filters = { mirroredRegistries: ['example.com'], registryFilters: [/:latest$/] };
  const node = await startNode((stop) => t.after(stop), { filters });
  const manifest = manifestOf([Buffer.from('a')]);
  const digest = node.store.add(manifest);
  node.store.tags.set('example.com/test/app:latest', digest);
  assert.equal((await fetch(`${node.url}${manifestPath('latest')}`)).status, 404);
  assert.equal((await fetch(`${node.url}${manifestPath(digest)}`)).status, 200);
  const other = blobPath(digest).replace('example.com', 'other.com');
  const response = await fetch(`${node.url}${other}`);
  assert.equal(await errorOf(response), 'NAME_UNKNOWN');
  assert.equal(node.router.lookups, 0);
});

test('the base and the probes', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  for (const path of ['/v2/', '/v2', '/livez', '/readyz', '/healthz', '/readyz?verbose']) {
    assert.equal((await fetch(`${node.url}${path}`)).status, 200, path);
  }
  node.store.isReady = () => false;
  assert.equal((await fetch(`${node.url}/readyz`)).status, 503);
  assert.equal((await fetch(`${node.url}/livez`)).status, 200);
});

test('wrong methods are 405 with Allow, an upload included', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const paths = [blobPath(blob(1).digest), manifestPath('v1'), '/v2/', '/livez', '/nonsense'];
  for (const path of paths) {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      const response = await fetch(`${node.url}${path}`, { method });
      assert.equal(response.status, 405, `${method} ${path}`);
      assert.equal(response.headers.get('allow'), 'GET, HEAD');
      assert.equal(await errorOf(response), 'UNSUPPORTED');
    }
  }
  const status = await new Promise((resolve, reject) => {
    const upload = httpRequest(`${node.url}${paths[0]}`, { method: 'PUT' }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode));
    });
    upload.on('error', reject);
    upload.end(Buffer.alloc(20 * MIB));
  });
  assert.equal(status, 405);
});

test('wrong paths and digests are OCI errors', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const cases: [string, string][] = [
    ['/', 'UNSUPPORTED'],
    ['/v1/', 'UNSUPPORTED'],
    ['/v2/_catalog', 'UNSUPPORTED'],
    ['/v2/test/app/tags/list', 'UNSUPPORTED'],
    ['/v2/test/app/blobs/v1?ns=a.io', 'DIGEST_INVALID'],
    ['/v2/test/app/blobs/sha256:abc?ns=a.io', 'DIGEST_INVALID'],
    [`/v2/test/app/blobs/sha512:${'a'.repeat(128)}?ns=a.io`, 'DIGEST_INVALID'],
    [`/v2/test/app/manifests/sha256:${'A'.repeat(64)}?ns=a.io`, 'DIGEST_INVALID'],
    [`/v2/test/app/manifests/${'v'.repeat(200)}?ns=a.io`, 'MANIFEST_INVALID'],
    ['/v2/../../etc/passwd/manifests/v1?ns=a.io', 'UNSUPPORTED'],
    ['/v2/UPPER/manifests/v1?ns=a.io', 'NAME_INVALID'],
    ['/v2/test/app/manifests/v1', 'NAME_INVALID'],
    ['/v2/test/app/manifests/v1?ns=..', 'NAME_INVALID'],
    ['/v2/test/app/manifests/v1?ns=a.io/b', 'NAME_INVALID'],
    ['/v2/test/app/manifests/%41?ns=a.io', 'MANIFEST_INVALID'],
  ];
  for (const [path, code] of cases) {
    const response = await fetch(`${node.url}${path}`);
    assert.equal(response.status, 404, path);
    assert.equal(await errorOf(response), code, path);
  }
  assert.equal(node.router.lookups, 0);
});

test('a corrupt local manifest is a miss, not an answer', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const digest = digestOf(Buffer.from('expected'));
  node.store.content.set(digest, manifestOf([Buffer.from('other')]));
  assert.equal((await fetch(`${node.url}${manifestPath(digest)}`)).status, 404);
});
