/** Throwing away what containerd has downloaded, unless somebody writes to it. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { delay } from '../../lib/base/lifecycle.ts';
import { silentLogger } from '../../lib/base/log.ts';
import { ContainerdApi } from '../../lib/containerd/api.ts';
import { ContainerdClient } from '../../lib/containerd/client.ts';
import { discardIngests } from '../../lib/containerd/discard.ts';
import { DUPLEX } from '../../lib/containerd/proto.ts';
import { type Digest, digestOf, hexOf } from '../../lib/oci/digest.ts';
import { run, waitUntil } from '../support/exec.ts';
import { assertHolds } from '../support/fleet.ts';
import { type Layout, makeImage } from '../support/images.ts';
import { Lab, type LabHost, labMissing } from '../support/lab.ts';
import { slowPull } from './growing-pull.ts';
import { readyStore, signal } from './stores.ts';

const skip = await labMissing();
const VERSIONS = ['1.6', '1.7', '2.1', '2.4'] as const;
const missing = await Promise.all(VERSIONS.map((version) => labMissing(version)));
const NAMESPACES = ['default', 'k8s.io', 'other'];
let lab: Lab;

before(async () => {
  if (skip !== false) return;
  const containerd = VERSIONS.filter((_, index) => missing[index] === false).map((version) => ({
    version,
    cri: true,
  }));
  lab = await Lab.create({ hosts: containerd.length, containerd });
});
after(() => lab?.dispose());

/** An image in the registry, with its one layer. */
interface Pushed {
  readonly image: Layout;
  readonly ref: string;
  readonly digest: Digest;
  readonly bytes: Buffer;
}

async function pushed(): Promise<Pushed> {
  const seed = randomUUID();
  const image = await makeImage(join(lab.dir, seed), { seed, layers: 1, layerMiB: 2 });
  const ref = await lab.upstream.push(image, `discard/${seed}`);
  const digest = image.manifests[0]?.layers[0]?.digest as Digest;
  const bytes = await readFile(join(image.dir, 'blobs', ...digest.split(':')));
  return { image, ref, digest, bytes };
}

/** What the registry has of a layer from now on. */
function serve(digest: Digest, bytes: Buffer): Promise<void> {
  const hex = hexOf(digest);
  const path = join('docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  return writeFile(join(lab.upstream.storage, path), bytes);
}

interface Bench {
  readonly host: LabHost;
  readonly client: ContainerdClient;
  readonly api: ContainerdApi;
  /** Ingests of a digest, in all namespaces, as the API tells. */
  readonly ingests: (digest: Digest) => Promise<string[]>;
  /** Tries once. */
  readonly discard: (digest: Digest) => Promise<void>;
}

async function bench(t: TestContext, host: LabHost): Promise<Bench> {
  const client = new ContainerdClient(host.containerd.socket);
  t.after(() => client.close());
  const api = new ContainerdApi(client);
  const ingests = async (digest: Digest) => {
    const all = await Promise.all(NAMESPACES.map((name) => api.ingests(name, signal)));
    return all.flat().filter((ref) => ref.endsWith(digest));
  };
  const discard = (digest: Digest) => discardIngests({ api, log: silentLogger }, digest, signal);
  return { host, client, api, ingests, discard };
}

/** A full ingest of wrong bytes that nothing but its age will end. */
async function leaveBehind({ containerd }: LabHost, { digest, bytes }: Pushed, namespace: string) {
  const file = join(lab.dir, randomUUID());
  await writeFile(file, randomBytes(bytes.length));
  const ctr = join(lab.tools.containerd[containerd.version].bin, 'ctr');
  const size = String(bytes.length);
  const flags = `--expected-size ${size} --expected-digest ${digest}`;
  const command = `${ctr} -a ${containerd.socket} -n ${namespace} content ingest ${flags} layer-${digest} < ${file}`;
  await assert.rejects(run(['sh', '-c', command]), /unexpected commit digest/);
}

/** Directories of downloads: also those that the API does not tell of. */
const directories = ({ containerd }: LabHost) =>
  readdirSync(join(containerd.contentRoot, 'ingest'));

async function assertAskedAnew({ digest, image }: Pushed, host: LabHost): Promise<void> {
  const asked = (await lab.upstream.blobRequests()).filter(({ uri }) => uri.includes(digest));
  assert.deepEqual(
    asked.map(({ status }) => status),
    [200],
  );
  await assertHolds(host, image);
}

VERSIONS.forEach((version, index) => {
  const options = { skip: skip || missing[index], timeout: 120_000 };
  const hostOf = () => lab.host(missing.slice(0, index).filter((one) => one === false).length);

  test(
    `containerd ${version}: a full one of wrong bytes goes, the next pull asks anew`,
    options,
    async (t) => {
      const host = hostOf();
      const { ingests } = await bench(t, host);
      const store = await readyStore(t, host.containerd.socket);
      const it = await pushed();
      await leaveBehind(host, it, 'default');
      await leaveBehind(host, it, 'other');
      await lab.upstream.forget();
      await assert.rejects(host.containerd.pull(it.ref), /unexpected commit digest/);
      const asked = (await lab.upstream.blobRequests()).filter(({ uri }) =>
        uri.includes(it.digest),
      );
      assert.deepEqual(asked, [], 'it commits what is there, without asking anybody');
      const began = performance.now();
      store.judge.distrust(it.digest);
      await waitUntil('all are gone', async () => (await ingests(it.digest)).length === 0);
      const ms = performance.now() - began;
      t.diagnostic(`thrown away after ${Math.round(ms)} ms`);
      assert.ok(ms < 1_000, `${ms} ms`);
      await lab.upstream.forget();
      await host.containerd.pull(it.ref);
      await assertAskedAnew(it, host);
      assert.deepEqual(directories(host), []);
    },
  );

  test(`containerd ${version}: what a running pull writes to is left alone`, options, async (t) => {
    const host = hostOf();
    const { ingests, discard } = await bench(t, host);
    const pull = await slowPull(t, lab, host);
    await pull.begun();
    pull.store.judge.distrust(pull.digest);
    let isOver = false;
    void pull.pulled.finally(() => (isOver = true));
    const refusals: string[] = [];
    while (!isOver) {
      const answer = await discard(pull.digest).then(
        () => 'done',
        (error: Error) => error.message,
      );
      if (!isOver) refusals.push(answer);
    }
    assert.equal(await pull.pulled, undefined);
    assert.ok(refusals.length > 0);
    t.diagnostic(`${refusals.length} tries`);
    for (const refusal of refusals.slice(0, -1)) assert.match(refusal, /UNAVAILABLE.*locked/);
    await assertHolds(host, pull.image);
    await waitUntil('nothing is left', async () => (await ingests(pull.digest)).length === 0);
    await delay(500);
    assert.deepEqual(await ingests(pull.digest), []);
    assert.deepEqual(directories(host), []);
  });

  test(`containerd ${version}: the part of a cancelled pull goes`, options, async (t) => {
    const host = hostOf();
    const { ingests } = await bench(t, host);
    const pull = await slowPull(t, lab, host);
    await pull.begun();
    pull.kill();
    assert.ok(await pull.pulled);
    const began = performance.now();
    pull.store.judge.distrust(pull.digest);
    await waitUntil('it is gone', async () => (await ingests(pull.digest)).length === 0);
    const ms = performance.now() - began;
    assert.ok(ms < 1_000, `${ms} ms`);
    await lab.upstream.net.rate('10gbit');
    await lab.upstream.forget();
    await host.containerd.pull(pull.ref);
    await assertAskedAnew({ ...pull }, host);
    assert.deepEqual(directories(host), []);
  });

  test(`containerd ${version}: what is a blob already stays one`, options, async (t) => {
    const host = hostOf();
    const { ingests, discard, api } = await bench(t, host);
    const it = await pushed();
    await leaveBehind(host, it, 'other');
    await host.containerd.pull(it.ref);
    await discard(it.digest);
    assert.deepEqual(await ingests(it.digest), []);
    await discard(it.digest);
    await api.abortIdle('default', { ref: `layer-${it.digest}`, digest: it.digest }, signal);
    await assertHolds(host, it.image);
    assert.equal(digestOf(await readFile(host.containerd.blobPath(it.digest))), it.digest);
    assert.deepEqual(await ingests(it.digest), []);
    const unknown = digestOf(randomBytes(10));
    await api.abortIdle('default', { ref: `layer-${unknown}`, digest: unknown }, signal);
    assert.deepEqual(await ingests(unknown), [], 'nothing of ours is left');
  });

  test(
    `containerd ${version}: a pull that begins while it is being thrown away succeeds`,
    options,
    async (t) => {
      const host = hostOf();
      const { client, api, discard } = await bench(t, host);
      const it = await pushed();
      await leaveBehind(host, it, 'default');
      const ref = `layer-${it.digest}`;
      const request = { action: 0, ref, total: 1, expected: it.digest } as const;
      const held = { namespace: 'default', deadlineMs: 10_000, signal };
      await lab.upstream.forget();
      const pulling = await client.whileOpen(DUPLEX.write, request, held, async () => {
        const pulled = host.containerd.pull(it.ref);
        await delay(1_500);
        await api.abort('default', ref, signal);
        return { pulled };
      });
      await pulling.pulled;
      await assertAskedAnew(it, host);
      for (let i = 0; i < 5; i += 1) {
        const next = await pushed();
        await leaveBehind(host, next, 'default');
        const discards = delay(i * 20).then(() => discard(next.digest).catch(() => {}));
        const answer = await host.containerd.pull(next.ref).then(
          () => 'pulled',
          (error: Error) => error.message,
        );
        await discards;
        // The one that was first decides: what was committed before we came is wrong.
        if (answer !== 'pulled') assert.match(answer, /unexpected commit digest/);
        await discard(next.digest);
        await host.containerd.pull(next.ref);
        await assertHolds(host, next.image);
      }
      assert.deepEqual(directories(host), []);
    },
  );

  test(`containerd ${version}: pulls of CRI`, options, async (t) => {
    const host = hostOf();
    const { ingests, discard } = await bench(t, host);
    const { cri } = host.containerd;
    const store = await readyStore(t, host.containerd.socket, { namespaces: ['k8s.io'] });
    const it = await pushed();
    await serve(it.digest, randomBytes(it.bytes.length));
    await assert.rejects(cri.pull(it.ref), /unexpected commit digest/);
    const began = performance.now();
    store.judge.distrust(it.digest);
    await waitUntil('it is gone', async () => (await ingests(it.digest)).length === 0);
    assert.ok(performance.now() - began < 1_000);
    await serve(it.digest, it.bytes);
    await lab.upstream.forget();
    await cri.pull(it.ref);
    const asked = (await lab.upstream.blobRequests()).filter(({ uri }) => uri.includes(it.digest));
    assert.equal(asked.length, 1);

    const next = await pushed();
    await lab.upstream.net.rate('10mbit');
    t.after(() => lab.upstream.net.rate('10gbit'));
    let isOver = false;
    const pulled = cri.pull(next.ref).finally(() => (isOver = true));
    await waitUntil('it has begun', async () => (await ingests(next.digest)).length > 0);
    while (!isOver) await discard(next.digest).catch(() => delay(20));
    await pulled;
    assert.equal(digestOf(await readFile(host.containerd.blobPath(next.digest))), next.digest);
    assert.deepEqual(directories(host), []);
    await cri.remove(it.ref);
    await cri.remove(next.ref);
  });

  test(`containerd ${version}: it has not complained`, options, async (t) => {
    const log = await readFile(hostOf().containerd.logPath, 'utf8');
    const lines = log.split('\n').filter((line) => /level=(error|fatal|panic)/.test(line));
    t.diagnostic(lines.join('\n'));
  });
});
