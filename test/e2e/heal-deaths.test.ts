/**
 * Hosts that die, stand still, or stop orderly: nobody's pull fails, and lookups soon name those
 * that are there.
 */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertHolds, headStatus, untilJoined, untilSending } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { MIB } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { Meanwhile, Supply, seconds, told } from '../support/meanwhile.ts';
import { giveSole, type Sole, untilPeers, untilPulled } from '../support/sole.ts';

const skip = await labMissing();
/** Labs of their own that mostly wait. */
const concurrency = 2;
/** A goodbye takes milliseconds; what was asked just before it may still run into the host. */
const GOODBYE_MS = 500;

async function fleetOf(t: TestContext, hosts: number): Promise<Lab> {
  const lab = await Lab.create({ hosts, spegel: true }, t);
  await untilJoined(lab.hosts, hosts - 1);
  return lab;
}

/** Attempts of these hosts to get something from an address, after a time in ms since 1970. */
async function attempts(hosts: readonly LabHost[], address: string, after: number) {
  const lines = (await Promise.all(hosts.map(({ spegel }) => spegel.logs()))).flat();
  return lines.filter(
    ({ msg, address: asked, time }) =>
      msg === 'peer gave nothing' &&
      String(asked).startsWith(`${address}:`) &&
      Date.parse(String(time)) > after,
  );
}

describe('hosts that go', { skip, concurrency }, () => {
  test('one holder killed in the middle of a transfer, the other frozen, and back', async (t) => {
    const lab = await fleetOf(t, 4);
    const [seeker, other, ...holders] = lab.hosts as [LabHost, LabHost, LabHost, LabHost];
    const supply = new Supply(lab, 'deaths');
    for (const holder of holders) await supply.giveTo(holder, 2);
    const [one, two] = holders as [LabHost, LabHost];
    const big = await giveSole(lab, one, 'big', { layers: 1, layerMiB: 12 });
    await untilPulled(two, big);
    const lasts = new Map([
      [one, await giveSole(lab, one, 'last-of-one')],
      [two, await giveSole(lab, two, 'last-of-two')],
    ]);
    await Promise.all(holders.map(({ net }) => net.rate('40mbit')));

    const sentBefore = await Promise.all(holders.map(({ net }) => net.bytesSent()));
    let isComplete = false;
    const transfer = seeker.containerd.fetch(big.reference, { timeoutMs: 60_000 }).then(() => {
      isComplete = true;
    });
    const killed = await untilSending(holders, sentBefore, 2 * MIB);
    const frozen = killed === one ? two : one;
    await killed.spegel.kill();
    assert.equal(isComplete, false, 'it was killed too late');
    const pulls = new Meanwhile([seeker, other], supply);
    const outMs = await untilPeers([seeker, other, frozen], 2, 30_000);
    await transfer;
    await assertHolds(seeker, big.image);
    t.diagnostic(`killed: out of all tables after ${seconds(outMs)}`);

    frozen.spegel.service.freeze();
    const frozenMs = await untilPeers([seeker, other], 1, 60_000);
    const last = lasts.get(frozen) as Sole;
    const [path = ''] = last.layerPaths;
    const asked = Date.now();
    assert.equal(await headStatus(seeker, path), 404);
    assert.deepEqual(await attempts([seeker], frozen.address, asked), []);
    t.diagnostic(`frozen: out of all tables after ${seconds(frozenMs)}`);
    frozen.spegel.service.thaw();
    t.diagnostic(`thawed: its content found after ${seconds(await untilPulled(seeker, last))}`);
    t.diagnostic(`meanwhile ${told(await pulls.end())}`);
  });

  test('a host that stops orderly is named no more, and ends the transfer that it serves', async (t) => {
    const lab = await fleetOf(t, 4);
    const [leaver, second, seeker, client] = lab.hosts as [LabHost, LabHost, LabHost, LabHost];
    const slow = await giveSole(lab, leaver, 'slow', { layers: 1, layerMiB: 10 });
    const shape = { layers: 30, layerBytes: 4096, gzip: false };
    const both = await giveSole(lab, leaver, 'both', shape);
    await untilPulled(second, both);
    await leaver.net.rate('20mbit');

    const sentBefore = await leaver.net.bytesSent();
    const transfer = client.containerd.fetch(slow.reference, { timeoutMs: 60_000 });
    await untilSending([leaver], [sentBefore], 2 * MIB);
    const pulls = new Meanwhile([second, seeker], new Supply(lab, 'stops'));
    const stopped = Date.now();
    leaver.spegel.service.kill('SIGTERM');
    // Each layer once: what a lookup has found is remembered for a while.
    for (const path of both.layerPaths) {
      const isFound = async () => (await headStatus(seeker, path)) === 200;
      await waitUntil('the other holder is found', isFound, { everyMs: 100 });
      await sleep(50);
    }
    await transfer;
    await assertHolds(client, slow.image);
    await leaver.spegel.service.exited;
    assert.deepEqual(leaver.spegel.service.ended, { code: 0, signal: null });
    const tookMs = Date.now() - stopped;
    // It may be a while before a process on a busy machine has heard the signal.
    const lines = await leaver.spegel.logs();
    const goodbye = Date.parse(String(lines.find(({ msg }) => msg === 'stopping')?.time));
    assert.ok(goodbye >= stopped, 'it said that it stops');
    const others = [second, seeker, client];
    assert.deepEqual(await attempts(others, leaver.address, goodbye + GOODBYE_MS), []);
    t.diagnostic(`stopped ${seconds(tookMs)} after SIGTERM, at the end of its transfer`);
    t.diagnostic(`meanwhile ${told(await pulls.end())}`);
  });
});
