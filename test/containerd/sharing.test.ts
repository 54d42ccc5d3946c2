/** Which content is shared: namespaces, checkpoints, build caches. And reading it over gRPC. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { digestsOf } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { writeBlob } from '../../lab/images/blobs.ts';
import { MIB } from '../../lab/images/images.ts';
import { run } from '../../lab/processes/exec.ts';
import { BlobAccess } from '../../lib/containerd/blob-access.ts';
import { ContainerdClient } from '../../lib/containerd/client.ts';
import { type Digest, digestOf } from '../../lib/oci/digest.ts';
import { OpenFiles } from '../../lib/store/open-files.ts';
import { readAllBytes } from '../../lib/store/read-all-bytes.ts';
import { Watched } from '../contract/watched.ts';
import { NamespaceImages } from './namespace-images.ts';
import { readyStore, recordingLog, signal, startStore } from './stores.ts';

const skip = await labMissing();
const options = { skip, timeout: 120_000 };
const NOBODY = 65_534;
const KEY = 'registry.test/app:v1';
let lab: Lab;

before(async () => {
  if (skip === false) lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'] });
});
after(() => lab?.dispose());

for (const index of [0, 1]) {
  const version = ['2.1', '1.6'][index];

  test(
    `containerd ${version}: only the namespaces given, or all, also later ones`,
    options,
    async (t) => {
      const { containerd } = lab.host(index);
      const [mine, others] = [
        new NamespaceImages(lab, containerd),
        new NamespaceImages(lab, containerd),
      ];
      const [own, foreign] = [await mine.make('own'), await others.make('foreign')];
      const store = await readyStore(t, containerd.socket, { namespaces: [mine.name] });
      const all = await readyStore(t, containerd.socket, { namespaces: ['*'] });
      const [some, every] = [new Watched(store, t), new Watched(all, t)];
      await others.import(foreign, KEY);
      await mine.import(own, KEY);
      await some.untilHas([...digestsOf(own), KEY]);
      await every.untilHas([...digestsOf(own), ...digestsOf(foreign), KEY]);
      assert.ok(!some.keys.has(foreign.digest));
      assert.equal(await store.source(foreign.digest as Digest, signal), undefined);
      assert.ok(await all.source(foreign.digest as Digest, signal));
    },
  );

  test(
    `containerd ${version}: content without readable files is read over gRPC`,
    options,
    async (t) => {
      const { containerd } = lab.host(index);
      const images = new NamespaceImages(lab, containerd);
      const image = await images.make('large', 1, 20 * MIB);
      await images.import(image, KEY);
      const { log, lines } = recordingLog();
      const settings = { namespaces: [images.name], contentPath: '/nowhere', log };
      const store = await readyStore(t, containerd.socket, settings);
      const watched = new Watched(store, t);
      await watched.untilHas([...digestsOf(image), KEY]);
      const layer = await store.source(image.manifests[0]?.layers[0]?.digest as Digest, signal);
      assert.ok(layer);
      const whole = await readAllBytes(layer, 64 * MIB, signal);
      assert.equal(digestOf(whole), layer.digest);
      assert.equal(lines.filter((line) => line.includes('over gRPC')).length, 1);

      const reader = await layer.open(signal);
      const buffer = new Uint8Array(3_000_000);
      for (const position of [0, 5_000_000, layer.size - 7, 1]) {
        const count = await reader.read(buffer, position, signal);
        assert.ok(count > 0);
        assert.ok(
          Buffer.from(whole)
            .subarray(position, position + count)
            .equals(buffer.subarray(0, count)),
        );
      }
      assert.equal(await reader.read(buffer, layer.size, signal), 0);
      await assert.rejects(reader.read(buffer, 9, AbortSignal.abort(new Error('left'))), /left/);
      const leaving = new AbortController();
      const reading = reader.read(buffer, 10, leaving.signal);
      leaving.abort(new Error('left in the middle'));
      await assert.rejects(reading, /left in the middle/);
      assert.ok(
        (await reader.read(buffer, 10, signal)) > 0,
        'a reader goes on after an aborted read',
      );
      await reader.close();
      await reader.close();
      await assert.rejects(reader.read(buffer, 0, signal), /closed/);
    },
  );
}

test(
  'a file that may not be read is read over gRPC, a socket that may not be used is refused',
  options,
  async (t) => {
    const { containerd, dir } = lab.host(0);
    const images = new NamespaceImages(lab, containerd);
    const image = await images.make('unreadable');
    await images.import(image, KEY);
    const { log, lines } = recordingLog();
    const store = await readyStore(t, containerd.socket, { namespaces: [images.name], log });
    const layer = image.manifests[0]?.layers[0]?.digest as Digest;
    await chmod(containerd.blobPath(layer), 0o600);
    for (let path = containerd.contentRoot; path.startsWith(dir); path = dirname(path)) {
      await chmod(path, 0o755);
    }
    await asNobody(async () => {
      const source = await store.source(layer, signal);
      assert.ok(source);
      assert.equal(digestOf(await readAllBytes(source, 64 * MIB, signal)), layer);
      await assert.rejects(startStore(t, containerd.socket), {
        code: 'ERR_SOCKET',
        message: /got EACCES; run as root/,
      });
    });
    assert.match(lines.join(''), /over gRPC.*EACCES: permission denied, open/);
  },
);

test(
  'a blob that is deleted before the first read does not make the files unreadable',
  options,
  async (t) => {
    const { containerd } = lab.host(0);
    const { log, lines } = recordingLog();
    const client = new ContainerdClient(containerd.socket);
    t.after(() => client.close());
    const files = new OpenFiles();
    const access = new BlobAccess(client, files, log);
    access.useRoot(containerd.contentRoot);
    const gone = digestOf(Buffer.from(randomUUID()));
    const blob = { namespace: 'default', size: 3, mediaType: undefined };
    const source = await access.source(gone, blob);
    assert.ok(source);
    await assert.rejects(readAllBytes(source, MIB, signal));
    assert.deepEqual(lines, []);
  },
);

/** Drops root for a while: the effective user and groups of this process. */
async function asNobody(work: () => Promise<void>): Promise<void> {
  const groups = process.getgroups?.() ?? [];
  process.setgroups?.([]);
  process.setegid?.(NOBODY);
  process.seteuid?.(NOBODY);
  try {
    await work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
    process.setgroups?.(groups);
  }
}

test('content without a pull or an image is not shared', options, async (t) => {
  const { containerd } = lab.host(0);
  const images = new NamespaceImages(lab, containerd);
  const image = await images.make('good');
  await images.import(image, KEY);
  const cache = await images.make('cache');
  await images.import(cache, 'registry.test/cache:v1');
  const { name: namespace } = images;
  // The content stays, but has no label and no name that is a reference.
  await containerd.ctr(['images', 'tag', 'registry.test/cache:v1', 'cache'], { namespace });
  await images.remove('registry.test/cache:v1');
  const store = await readyStore(t, containerd.socket, { namespaces: [namespace] });
  const watched = new Watched(store, t);
  await watched.untilHas([KEY]);
  assert.ok((await containerd.digests(namespace)).includes(cache.digest));
  assert.equal(watched.keys.size, digestsOf(image).length + 1);
  assert.equal(await store.source(cache.digest as Digest, signal), undefined);
});

test('content that was asked for is shared as soon as it is complete', options, async (t) => {
  const { containerd, dir } = lab.host(0);
  const images = new NamespaceImages(lab, containerd);
  const { name: namespace } = images;
  await images.import(await images.make('namespace'), KEY);
  const store = await readyStore(t, containerd.socket, { namespaces: [namespace] });
  const watched = new Watched(store, t);
  await watched.untilHas([KEY]);
  const ingest = async (text: string) => {
    const file = join(dir, `${randomUUID()}`);
    await writeFile(file, text);
    const digest = digestOf(Buffer.from(text));
    if (text.startsWith('asked')) store.expect(digest);
    const ctr = `"$0" -a ${containerd.socket} -n ${namespace}`;
    const script = `${ctr} content ingest --expected-digest ${digest} ${digest} < ${file}`;
    await run(['sh', '-c', script, join(lab.tools.containerd['2.1'].bin, 'ctr')]);
    return digest;
  };
  // Neither has a label or an image: only the event tells of them.
  const other = await ingest(`other ${randomUUID()}`);
  const asked = await ingest(`asked ${randomUUID()}`);
  await watched.untilHas([asked]);
  assert.ok(!watched.keys.has(other));
  assert.equal(store.completeSize(asked), `asked ${randomUUID()}`.length);
  assert.equal(store.completeSize(other), undefined);
  const source = await store.source(asked, signal, 'known');
  assert.equal(digestOf(await readAllBytes(source ?? assert.fail(), MIB, signal)), asked);
});

test('a checkpoint is an image record, and not shared', options, async (t) => {
  const { containerd } = lab.host(0);
  const images = new NamespaceImages(lab, containerd);
  const image = await images.make('base');
  const memory = await writeBlob(image.dir, `memory of a process ${randomUUID()}`);
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: image.digest,
        size: image.size,
      },
      { mediaType: 'application/vnd.containerd.container.criu.checkpoint.criu.tar', ...memory },
    ],
  });
  const index = await writeBlob(image.dir, text);
  const entry = {
    mediaType: 'application/vnd.oci.image.index.v1+json',
    ...index,
    annotations: { 'org.opencontainers.image.ref.name': 'v1' },
  };
  await writeFile(
    join(image.dir, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [entry] }),
  );
  await images.import(image, 'registry.test/checkpoint:v1');
  const store = await readyStore(t, containerd.socket, { namespaces: [images.name] });
  const watched = new Watched(store, t);
  await watched.until('there is a snapshot', () => watched.events.length > 0);
  assert.deepEqual([...watched.keys], []);
  assert.deepEqual(await containerd.imageNames(images.name), ['registry.test/checkpoint:v1']);
});
