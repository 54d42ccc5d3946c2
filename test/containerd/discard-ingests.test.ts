/** Discards the ingests of a digest, unless containerd writes to them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { assertHolds } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { MIB } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { delay } from '../../lib/base/abortable.ts';
import { DUPLEX } from '../../lib/containerd/methods.ts';
import { digestOf } from '../../lib/oci/digest.ts';
import { slowPull } from './ingest/ingest-pull.ts';
import { assertAskedAnew, bench, directories, leaveBehind, pushed, serve } from './left-behind.ts';
import { readyStore, signal } from './stores.ts';

const skip = await labMissing();
const VERSIONS = ['1.6', '1.7', '2.1', '2.4'] as const;
const missing = await Promise.all(VERSIONS.map((version) => labMissing(version)));
/** It takes 0.1 s on an idle machine. A second attempt comes later than this. */
const LATE_MS = 2_000;
/**
 * containerd answers this when it begins an ingest anew instead of hashing its bytes under its
 * lock.
 */
const NOT_READ = 'provided total differs from status';
let lab: Lab;

before(async () => {
  if (skip !== false) return;
  const there = VERSIONS.filter((_, index) => missing[index] === false);
  const containerd = there.map((version) => ({ version, cri: true }));
  lab = await Lab.create({ hosts: containerd.length, containerd });
});
after(() => lab?.dispose());

VERSIONS.forEach((version, index) => {
  const options = { skip: skip || missing[index], timeout: 120_000 };
  const hostOf = () => lab.host(missing.slice(0, index).filter((one) => one === false).length);

  test(
    `containerd ${version}: a full ingest with wrong bytes is discarded, and the next pull asks again`,
    options,
    async (t) => {
      const host = hostOf();
      const { ingests } = await bench(t, host);
      const store = await readyStore(t, host.containerd.socket);
      const it = await pushed(lab);
      await leaveBehind(lab, host, it, 'default');
      await leaveBehind(lab, host, it, 'other');
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
      assert.ok(ms < LATE_MS, `${ms} ms`);
      await lab.upstream.forget();
      await host.containerd.pull(it.ref);
      await assertAskedAnew(lab, it, host);
      assert.deepEqual(directories(host), []);
    },
  );

  test(
    `containerd ${version}: an ingest with a writer stays, without a call`,
    options,
    async (t) => {
      const host = hostOf();
      const { ingests, complaints } = await bench(t, host);
      const pull = await slowPull(t, lab, host);
      await pull.begun();
      pull.store.judge.distrust(pull.digest);
      const whileItRuns = setInterval(
        () => void pull.store.judge.untilSettled([pull.digest], 1_000),
        50,
      );
      t.after(() => clearInterval(whileItRuns));
      assert.equal(await pull.pulled, undefined);
      clearInterval(whileItRuns);
      await assertHolds(host, pull.image);
      await waitUntil('it is known to be right', () => !pull.store.isBarred(pull.digest));
      await delay(500);
      assert.deepEqual(await ingests(pull.digest), []);
      assert.deepEqual(directories(host), []);
      // An attempt may meet the commit.
      assert.ok((await complaints(/^$/)).length <= 3, 'containerd logs each try that it refuses');
    },
  );

  test(
    `containerd ${version}: an ingest with a writer stays, although a call tries to discard it`,
    options,
    async (t) => {
      const host = hostOf();
      const { ingests, discard, complaints } = await bench(t, host);
      const pull = await slowPull(t, lab, host);
      await pull.begun();
      let tries = 0;
      while (!existsSync(host.containerd.blobPath(pull.digest))) {
        const answer = await discard(pull.digest).then(
          () => 'done',
          (error: Error) => error.message,
        );
        if (existsSync(host.containerd.blobPath(pull.digest))) break;
        assert.match(answer, /UNAVAILABLE.*locked/);
        tries += 1;
      }
      t.diagnostic(`${tries} tries`);
      assert.notEqual(tries, 0);
      assert.equal(await pull.pulled, undefined);
      await assertHolds(host, pull.image);
      await discard(pull.digest);
      assert.deepEqual(await ingests(pull.digest), []);
      assert.deepEqual(directories(host), []);
      assert.deepEqual(await complaints(/locked for/), []);
    },
  );

  test(`containerd ${version}: the ingest of a cancelled pull is discarded`, options, async (t) => {
    const host = hostOf();
    const { ingests, complaints } = await bench(t, host);
    const pull = await slowPull(t, lab, host);
    await pull.begun();
    pull.kill();
    assert.ok(await pull.pulled);
    const began = performance.now();
    pull.store.judge.distrust(pull.digest);
    await waitUntil('it is gone', async () => (await ingests(pull.digest)).length === 0);
    const ms = performance.now() - began;
    assert.ok(ms < LATE_MS, `${ms} ms`);
    await lab.upstream.net.rate('10gbit');
    await lab.upstream.forget();
    await host.containerd.pull(pull.ref);
    await assertAskedAnew(lab, pull, host);
    assert.deepEqual(directories(host), []);
    assert.deepEqual(await complaints(/context canceled|failed to cleanup .*extract/), []);
  });

  test(`containerd ${version}: a committed blob stays`, options, async (t) => {
    const host = hostOf();
    const { ingests, discard, api, complaints } = await bench(t, host);
    const it = await pushed(lab);
    await leaveBehind(lab, host, it, 'other');
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
    assert.deepEqual(await complaints(/unexpected commit digest/), []);
  });

  test(
    `containerd ${version}: a pull that begins during a discard succeeds`,
    options,
    async (t) => {
      const host = hostOf();
      const { client, api, discard } = await bench(t, host);
      const it = await pushed(lab);
      await leaveBehind(lab, host, it, 'default');
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
      await assertAskedAnew(lab, it, host);
      for (let i = 0; i < 5; i += 1) {
        const next = await pushed(lab);
        await leaveBehind(lab, host, next, 'default');
        const discards = delay(i * 20).then(() => discard(next.digest).catch(() => {}));
        const answer = await host.containerd.pull(next.ref).then(
          () => 'pulled',
          (error: Error) => error.message,
        );
        await discards;
        // The ingest was committed with wrong bytes before it could be discarded.
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
    const it = await pushed(lab);
    await serve(lab, it.digest, randomBytes(it.bytes.length));
    await assert.rejects(cri.pull(it.ref), /unexpected commit digest/);
    const began = performance.now();
    store.judge.distrust(it.digest);
    await waitUntil('it is gone', async () => (await ingests(it.digest)).length === 0);
    assert.ok(performance.now() - began < LATE_MS);
    await serve(lab, it.digest, it.bytes);
    await lab.upstream.forget();
    await cri.pull(it.ref);
    const asked = (await lab.upstream.blobRequests()).filter(({ uri }) => uri.includes(it.digest));
    assert.equal(asked.length, 1);

    const next = await pushed(lab);
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

  test(
    `containerd ${version}: containerd does not hash an ingest before the discard`,
    options,
    async (t) => {
      const host = hostOf();
      const { ingests, discard, log } = await bench(t, host);
      const digest = digestOf(randomBytes(10));
      await leaveBehind(lab, host, { digest, bytes: Buffer.alloc(MIB) }, 'default');
      await discard(digest);
      assert.match(await log(), new RegExp(`${NOT_READ}: 1 != ${MIB}`));
      assert.deepEqual(await ingests(digest), []);
      assert.deepEqual(directories(host), []);
    },
  );
});
