/**
 * Half of the hosts run the release before this one, as in the middle of an upgrade: they share as
 * ever.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  assertHolds,
  bytesOf,
  sentBytes,
  untilFound,
  untilJoined,
} from '../../../lab/fleet/fleet.ts';
import {
  prepareFreshImage,
  pullTogether,
  SHARED_CORES_FLAGS,
} from '../../../lab/fleet/inflight-pulls.ts';
import { type LabHost, labMissing } from '../../../lab/fleet/lab.ts';
import { mixedFleet, peerIdOf } from '../../../lab/fleet/mixed-fleet.ts';
import { makeImage } from '../../../lab/images/images.ts';
import { formerMissing } from '../../../lab/programs/former-release.ts';
import { assertShared, storyOf, sumOf } from '../../support/inflight-watch.ts';

const skip = (await labMissing('1.6', '2.1', '2.4')) || (await formerMissing());
const LINKS = { links: '100mbit', upstream: '50mbit' };
/** As in sharing.test.ts: the aim is 1.05; on a busy machine a tracker may answer too late once. */
const MOST_COPIES = 2.2;
/** Six `ctr`, containerds and daemons share two cores: a tracker among them answers late. */
const STAGGER_MS = 200;
const PATIENT = { 'mirror-resolve-timeout': '4s' } as const;

test('each release finds, gets and gives what the other announces', { skip }, async (t) => {
  const containerd = ['1.6', '1.6', '2.1', '2.4'] as const;
  const { lab, former, current } = await mixedFleet(
    t,
    { hosts: 4, containerd },
    { flags: SHARED_CORES_FLAGS },
  );
  await untilJoined(lab.hosts, 3);
  for (const [name, [holder], takers] of [
    ['former', former, current],
    ['current', current, former],
  ] as const) {
    assert.ok(holder);
    const repository = `rolling/${name}`;
    const shape = { seed: name, layers: 3, layerMiB: 4 };
    const image = await makeImage(join(lab.dir, name), shape);
    const reference = await lab.upstream.push(image, repository);
    await holder.containerd.pull(reference);
    for (const taker of takers) await untilFound(lab, taker, repository, image);
    const before = await sentBytes(holder);
    await lab.upstream.stop();
    const [byDigest, byTag] = takers;
    assert.ok(byDigest && byTag);
    await byDigest.containerd.pull(`${lab.upstream.registry}/${repository}@${image.digest}`);
    // Asked of the fleet, since the upstream fails containerd: an answer to a tag is another than
    // one to a digest.
    await byTag.containerd.pull(reference);
    for (const taker of takers) await assertHolds(taker, image);
    const sent = (await sentBytes(holder)) - before;
    t.diagnostic(`${name} sent ${(sent / bytesOf(image)).toFixed(2)} copies`);
    assert.ok(sent >= bytesOf(image), `${sent} bytes of ${bytesOf(image)}`);
    await lab.upstream.start();
  }
});

/** How many layers these hosts were given by those, complete or while they grew. */
async function givenBy(
  givers: readonly LabHost[],
  takers: readonly LabHost[],
  layers: readonly string[],
): Promise<number> {
  const ids = new Set(await Promise.all(givers.map(peerIdOf)));
  const asked = takers.flatMap((taker) => layers.map((layer) => storyOf(taker, layer)));
  const stories = (await Promise.all(asked)).flat();
  return stories.filter(({ peer }) => ids.has(String(peer))).length;
}

test('6 hosts of two releases pull a fresh image together: one copy, and each gives to the other', {
  skip,
}, async (t) => {
  const { lab, former, current } = await mixedFleet(t, { hosts: 6 }, { flags: PATIENT });
  const fresh = await prepareFreshImage(lab, LINKS, { layers: 4, layerMiB: 6 });

  const result = await pullTogether(lab, fresh.reference, fresh.image, { staggerMs: STAGGER_MS });

  t.diagnostic(
    `copies ${result.copies.toFixed(2)}, ms ${result.tookMs.map((ms) => ms?.toFixed())}`,
  );
  await assertShared(lab.hosts, fresh, result, MOST_COPIES);
  const toCurrent = await givenBy(former, current, fresh.layers);
  const toFormer = await givenBy(current, former, fresh.layers);
  t.diagnostic(`layers from the former release ${toCurrent}, from this one ${toFormer}`);
  assert.ok(toCurrent > 0 && toFormer > 0);
  for (const hosts of [former, current]) {
    assert.ok((await sumOf(hosts, 'spegel_inflight_served_bytes_total')) > 0);
  }
});
