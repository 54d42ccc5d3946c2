/** containerd is stopped, frozen or restarted, and content is removed without an event. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { digestsOf } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { delay } from '../../lib/base/abortable.ts';
import { type Digest, digestOf } from '../../lib/oci/digest.ts';
import { readAllBytes } from '../../lib/store/read-all-bytes.ts';
import { Watched } from '../contract/watched.ts';
import { NamespaceImages } from './namespace-images.ts';
import { readyStore, recordingLog, signal, startStore } from './stores.ts';

const skip = await labMissing();
const options = { skip, timeout: 120_000 };
const KEY = 'registry.test/app:v1';
let lab: Lab;

before(async () => {
  if (skip === false) lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'] });
});
after(() => lab?.dispose());

for (const index of [0, 1]) {
  const version = ['2.1', '1.6'][index];

  test(`containerd ${version}: not yet running, restarted, gone`, options, async (t) => {
    const { containerd } = lab.host(index);
    const images = new NamespaceImages(lab, containerd);
    const image = await images.make('one');
    await images.import(image, KEY);
    await containerd.stop();
    await rm(containerd.socket, { force: true });
    const { log, lines } = recordingLog();
    const store = await startStore(t, containerd.socket, { namespaces: [images.name], log });
    const watched = new Watched(store, t);
    await delay(1_500);
    assert.equal(store.isReady(), false);
    assert.equal(lines.length, 1, lines.join(''));
    assert.equal(await store.source(image.digest as Digest, signal), undefined);

    await containerd.start();
    await waitUntil('the store is ready', () => store.isReady());
    await watched.untilHas([...digestsOf(image), KEY]);

    await containerd.stop();
    await waitUntil('the store is not ready', () => !store.isReady());
    const source = await store.source(image.digest as Digest, signal);
    assert.ok(source, 'content is served while containerd is away');
    await rm(containerd.blobPath(image.manifests[0]?.layers[0]?.digest ?? ''));
    await containerd.start();
    const second = await images.make('two');
    await images.import(second, 'registry.test/two:v1');
    await watched.untilHas([...digestsOf(second), 'registry.test/two:v1']);
    assert.ok(watched.events.filter(({ type }) => type === 'snapshot').length >= 2);
  });
}

test(
  'a frozen containerd: the index answers, other digests soon get no answer, and the store is not ready',
  options,
  async (t) => {
    const { containerd } = lab.host(0);
    const images = new NamespaceImages(lab, containerd);
    const image = await images.make('frozen');
    await images.import(image, KEY);
    const store = await readyStore(t, containerd.socket, { namespaces: [images.name] });
    const watched = new Watched(store, t);
    containerd.service.freeze();
    t.after(() => containerd.service.thaw());
    const began = performance.now();
    assert.equal(await store.resolve(KEY, signal), image.digest);
    for (const digest of digestsOf(image) as Digest[]) {
      const source = await store.source(digest, signal);
      assert.ok(source);
      assert.equal(digestOf(await readAllBytes(source, 1 << 24, signal)), digest);
    }
    assert.ok(performance.now() - began < 500, 'index and files do not wait');
    assert.equal(await store.source(digestOf(Buffer.from('nowhere')), signal), undefined);
    assert.ok(performance.now() - began < 2_000, 'a look-up is bounded');
    await waitUntil('it is not ready', () => !store.isReady(), { timeoutMs: 15_000 });
    assert.equal(await store.resolve(KEY, signal), image.digest);

    containerd.service.thaw();
    await waitUntil('it is ready again', () => store.isReady(), { timeoutMs: 15_000 });
    const second = await images.make('thawed');
    await images.import(second, 'registry.test/two:v1');
    await watched.untilHas([...digestsOf(second)]);
    containerd.service.freeze();
    const stopping = performance.now();
    await store.stop();
    assert.ok(performance.now() - stopping < 1_000, 'stop does not wait for containerd');
    containerd.service.thaw();
  },
);

test('a periodic scan withdraws content that was removed without an event', options, async (t) => {
  const { containerd } = lab.host(1);
  const images = new NamespaceImages(lab, containerd);
  const image = await images.make('swept');
  await images.import(image, KEY);
  const settings = { namespaces: [images.name], sweepIntervalMs: 400 };
  const store = await readyStore(t, containerd.socket, settings);
  const watched = new Watched(store, t);
  await watched.untilHas([...digestsOf(image), KEY]);
  // Before 2.1 there is no event for content. The image record has one, its content does not.
  await containerd.ctr(['content', 'rm', image.manifests[0]?.layers[0]?.digest ?? ''], {
    namespace: images.name,
  });
  await watched.untilGone([image.manifests[0]?.layers[0]?.digest ?? '']);
  assert.ok(watched.has([image.digest, KEY]));
});

test('a path that can never be a socket is refused, with advice', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-socket-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await writeFile(join(dir, 'file'), '');
  const refused = (path: string, message: RegExp) =>
    assert.rejects(startStore(t, path), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'ERR_SOCKET');
      assert.match(error.message, message);
      return true;
    });
  await refused(
    join(dir, 'file'),
    /found a file that is no socket; give its path with --containerd-sock/,
  );
  await refused(dir, /found a directory/);
  await refused(join(dir, 'file', 'sock'), /ENOTDIR/);
});

test('a socket that does not speak gRPC is tried again until stop', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-socket-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const path = join(dir, 'sock');
  const server = createServer((socket) =>
    socket.on('error', () => {}).end('HTTP/1.0 400 no\r\n\r\n'),
  );
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  const { log, lines } = recordingLog();
  const store = await startStore(t, path, { log });
  await delay(1_000);
  assert.equal(store.isReady(), false);
  assert.equal(lines.length, 1, lines.join(''));
  await store.stop();
});
