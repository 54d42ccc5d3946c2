/**
 * A closed network of two releases: each takes the other's signatures, and minds the other's clock.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertHolds, bytesOf, sentBytes, untilFound, untilJoined } from '../../lab/fleet/fleet.ts';
import { SHARED_CORES_FLAGS } from '../../lab/fleet/inflight-pulls.ts';
import { type Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { mixedFleet } from '../../lab/fleet/mixed-fleet.ts';
import { type Layout, makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { clockAhead, faketimeMissing } from '../../lab/programs/faketime.ts';
import { formerMissing } from '../../lab/programs/former-release.ts';

const skip = (await labMissing()) || (await formerMissing()) || (await faketimeMissing());
const KEY = '1a'.repeat(32);
/** Clocks may be five minutes apart. */
const [LITTLE_S, MUCH_S] = [240, 600];
/** Longer than a host remembers that the upstream answered. */
const PROBE_FORGOTTEN_MS = 11_000;

/**
 * One host of each release, with one key; the clock of this release's is off by so many seconds.
 */
async function closedPair(t: TestContext, secondsAhead: number) {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-rolling-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const key = join(dir, 'key');
  await writeFile(key, `${KEY}\n`, { mode: 0o600 });
  const flags = { ...SHARED_CORES_FLAGS, 'network-key-file': key };
  const late = { env: clockAhead(secondsAhead) };
  const { lab, former, current } = await mixedFleet(t, { hosts: 2 }, { flags }, { flags, ...late });
  await untilJoined(lab.hosts, 1);
  const [old, own] = [former[0], current[0]];
  assert.ok(old && own);
  return { lab, pairs: [[old, own] as const, [own, old] as const] };
}

/** An image that the holder has pulled and announced. */
async function held(lab: Lab, holder: LabHost) {
  const repository = `closed/${holder.name}`;
  const shape = { seed: holder.name, layers: 2, layerMiB: 2 };
  const image = await makeImage(join(lab.dir, holder.name), shape);
  const reference = await lab.upstream.push(image, repository);
  await holder.containerd.pull(reference);
  return { repository, image, reference };
}

for (const secondsAhead of [LITTLE_S, -LITTLE_S]) {
  test(`a clock ${secondsAhead} s ahead: content and tags go both ways`, { skip }, async (t) => {
    const { lab, pairs } = await closedPair(t, secondsAhead);
    const [one, other] = pairs;
    assert.ok(one && other);
    const images = [await held(lab, one[0]), await held(lab, other[0])] as const;
    for (const [index, [, taker]] of pairs.entries()) {
      const { repository, image } = images[index] ?? images[0];
      await untilFound(lab, taker, repository, image);
    }
    await lab.upstream.stop();
    await sleep(PROBE_FORGOTTEN_MS);
    for (const [index, [holder, taker]] of pairs.entries()) {
      const { image, reference } = images[index] ?? images[0];
      const before = await sentBytes(holder);
      // By the tag: the answer has to prove that it comes from somebody with the key.
      await taker.containerd.pull(reference);
      await assertHolds(taker, image);
      assert.ok((await sentBytes(holder)) - before >= bytesOf(image));
    }
  });
}

async function logged(host: LabHost, msg: string): Promise<string[]> {
  return (await host.spegel.logs())
    .filter((line) => line.msg === msg)
    .map((line) => JSON.stringify(line));
}

/** Pulls as if there were no peer: the upstream gives, and both sides say why. */
async function assertDenied(
  lab: Lab,
  holder: LabHost,
  taker: LabHost,
  { reference, image }: { readonly reference: string; readonly image: Layout },
): Promise<void> {
  const before = await sentBytes(holder);
  await taker.containerd.pull(reference);
  await assertHolds(taker, image);
  assert.equal(await sentBytes(holder), before, `${holder.name} gave to ${taker.name}`);
  const isTold = async () =>
    (await logged(holder, 'peer denied')).some((line) => /the clocks differ too much/.test(line)) &&
    (await logged(taker, 'peer denies us')).length > 0;
  await waitUntil(`${holder.name} and ${taker.name} tell of the clocks`, isTold);
  assert.ok((await lab.upstream.blobRequests()).length > 0);
}

test('clocks too far apart: each release refuses the other, says so, and no pull fails', {
  skip,
}, async (t) => {
  const { lab, pairs } = await closedPair(t, MUCH_S);
  for (const [holder, taker] of pairs) {
    const image = await held(lab, holder);
    await assertDenied(lab, holder, taker, image);
  }
});
