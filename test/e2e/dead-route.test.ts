/** Hosts whose default route leads nowhere, and hosts with two ways. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { headStatus, untilJoined } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import type { LogLine } from '../../lab/fleet/spegel.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { seconds } from '../support/meanwhile.ts';
import { giveSole, untilPulled } from '../support/sole.ts';

const skip = await labMissing();
/** Labs of their own that mostly wait. */
const concurrency = 2;
/** Two trials are a minute apart, and on a busy machine one of them comes to nothing. */
const TRIAL = { timeoutMs: 180_000 };

type Five = [LabHost, LabHost, LabHost, LabHost, LabHost];

const replacements = async ({ spegel }: LabHost): Promise<LogLine[]> =>
  (await spegel.logs()).filter(({ msg }) => /^peers do not reach the announced/.test(String(msg)));

const trials = async ({ spegel }: LabHost): Promise<LogLine[]> =>
  (await spegel.logs()).filter(({ msg }) => msg === 'announced address tried');

describe('default routes', { skip, concurrency }, () => {
  test('a host whose default route leads nowhere shares what it has at the address that its peers use', async (t) => {
    const lab = await Lab.create({ hosts: 5 }, t);
    const [first, other, dead, dead2, pinned] = [0, 1, 2, 3, 4].map((at) => lab.host(at)) as Five;
    const nowhere = await dead.net.addDeadRoute();
    for (const { net } of [dead2, pinned]) await net.addDeadRoute();
    const bootstrap = [first.address];
    await lab.startSpegel({ bootstrap }, [first, other, dead, dead2]);
    await lab.startSpegel({ bootstrap, flags: { 'advertise-address': nowhere } }, [pinned]);
    await untilJoined([first, other], 4);
    await untilJoined([dead, dead2, pinned], 2);

    const sole = await giveSole(lab, dead, 'dead');
    t.diagnostic(`found after ${seconds(await untilPulled(other, sole))}`);
    t.diagnostic(`by one of its kind after ${seconds(await untilPulled(dead2, sole))}`);
    for (const host of [dead, dead2]) {
      const lines = await replacements(host);
      assert.deepEqual(
        lines.map(({ level, unreached, announced }) => ({ level, unreached, announced })),
        [{ level: 'WARN', unreached: nowhere, announced: [`/ip4/${host.address}/tcp/5001`] }],
      );
      assert.match(String(lines[0]?.msg), /--advertise-address/);
      const met = (await host.spegel.logs()).find(({ msg }) => msg === 'peer met');
      const ms = Date.parse(String(lines[0]?.time)) - Date.parse(String(met?.time));
      t.diagnostic(`${host.name} announces the other ${seconds(ms)} after it met its first peer`);
    }

    const lost = await giveSole(lab, pinned, 'pinned');
    assert.equal(await headStatus(other, lost.layerPaths[0] ?? ''), 404, 'what is pinned stays');
    for (const host of [first, other, pinned]) {
      assert.deepEqual([...(await replacements(host)), ...(await trials(host))], []);
    }

    // One peer has a way to that address, then so many that it is not worth less than the other.
    const before = (await trials(dead)).length;
    await other.net.addRoute(nowhere, 'via', dead.address);
    const isTried = async () => (await trials(dead)).length > before;
    await waitUntil('it tries again', isTried, TRIAL);
    assert.deepEqual((await trials(dead)).at(-1)?.isReached, false, 'one peer does not decide');
    await first.net.addRoute(nowhere, 'via', dead.address);
    const isBack = async () =>
      (await dead.spegel.logs()).some(({ reached }) => reached === nowhere);
    await waitUntil('the default route is used again', isBack, TRIAL);
    await untilPulled(first, sole);
  });

  test('a host with two ways that both work keeps the address of its default route', async (t) => {
    const lab = await Lab.create({ hosts: 2 }, t);
    const [first, second] = lab.hosts as [LabHost, LabHost];
    const onSecond = (host: LabHost) => host.address.replace('10.87.', '10.88.');
    for (const host of lab.hosts) await host.net.addInterface('eth1', `${onSecond(host)}/24`);
    // They are connected on the second network alone: nobody heard of the first one's addresses
    // otherwise.
    await lab.startSpegel({ bootstrap: [onSecond(first)] }, [first]);
    await lab.startSpegel({ bootstrap: [onSecond(first)] }, [second]);
    await untilJoined(lab.hosts, 1);
    for (const host of lab.hosts) {
      const isTried = async () => (await trials(host)).length > 0;
      await waitUntil(`${host.name} tries its address`, isTried, TRIAL);
      const [trial] = await trials(host);
      assert.deepEqual(
        { ip: trial?.ip, other: trial?.other, isReached: trial?.isReached },
        { ip: host.address, other: onSecond(host), isReached: true },
      );
    }
    await untilPulled(first, await giveSole(lab, second, 'two-ways'));
    for (const host of lab.hosts) assert.deepEqual(await replacements(host), []);
  });

  test('each family stands for itself', async (t) => {
    const lab = await Lab.create({ hosts: 2, ipv6: true }, t);
    const [first, dead] = lab.hosts as [LabHost, LabHost];
    const unreached = await dead.net.addDeadRoute(6);
    await lab.startSpegel({ bootstrap: [`/ip6/${first.net.address6}/tcp/5001`] });
    const isReplaced = async () => (await replacements(dead)).length > 0;
    await waitUntil('it is replaced', isReplaced, TRIAL);
    assert.deepEqual(
      (await replacements(dead)).map((line) => [line.unreached, line.announced]),
      [[unreached, [`/ip4/${dead.address}/tcp/5001`, `/ip6/${dead.net.address6}/tcp/5001`]]],
    );
    await untilPulled(first, await giveSole(lab, dead, 'six'));
  });
});
