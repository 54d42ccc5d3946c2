/** Hosts whose addresses change, and hosts of both families, or of one only. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { headStatus, untilJoined } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { nameHosts } from '../../lab/network/host-names.ts';
import { Meanwhile, Supply, seconds, told } from '../support/meanwhile.ts';
import { giveSole, untilPeers, untilPulled } from '../support/sole.ts';

const skip = await labMissing();
/** Labs of their own that mostly wait. */
const concurrency = 2;
/** Last octets that no lab hands out by itself. */
const MOVED = 100;

describe('addresses', { skip, concurrency }, () => {
  test('one host moves while it runs, then the whole fleet does and finds itself by names', async (t) => {
    const lab = await Lab.create({ hosts: 4 }, t);
    const names = lab.hosts.map(({ name }) => `${name}.fleet.test`);
    await nameHosts(lab.hosts, names);
    // By names alone: the peer cache has the old addresses, and nobody has a fixed one.
    const start = { bootstrap: names.slice(0, 2).map((name) => `/dns4/${name}/tcp/5001`) };
    await lab.startSpegel(start);
    await untilJoined(lab.hosts, 3);
    const moves = lab.host(3);
    const move = ({ net }: LabHost, octet: number) =>
      net.moveTo(lab.network.address(octet), lab.network.gateway);
    const [there, here] = [
      await giveSole(lab, moves, 'there'),
      await giveSole(lab, lab.host(1), 'here'),
    ];
    const supply = new Supply(lab, 'moves');
    await supply.giveTo(moves, 3);

    const pulls = new Meanwhile(lab.hosts.slice(0, 3), supply);
    await move(moves, MOVED);
    const found = [untilPulled(lab.host(0), there), untilPulled(moves, here)];
    t.diagnostic(
      `one host moved: its content found after ${(await Promise.all(found)).map(seconds)}`,
    );
    await untilPeers(lab.hosts, 3);
    t.diagnostic(`meanwhile ${told(await pulls.end())}`);

    const again = await giveSole(lab, lab.host(2), 'again');
    await Promise.all(lab.hosts.map(({ spegel }) => spegel.kill()));
    for (const [index, host] of lab.hosts.entries()) await move(host, MOVED + 1 + index);
    await nameHosts(lab.hosts, names);
    await lab.startSpegel(start);
    const ms = await untilPulled(moves, again);
    t.diagnostic(`all moved and restarted: content found ${seconds(ms)} after all were ready`);
    await untilPeers(lab.hosts, 3);
  });

  test('a host that starts before its network has an address', async (t) => {
    const lab = await Lab.create({ hosts: 3 }, t);
    const [first, second, late] = lab.hosts as [LabHost, LabHost, LabHost];
    const { address } = late.net;
    await late.net.without(4);
    const pulls = new Meanwhile([first, second], new Supply(lab, 'late'));
    await lab.startSpegel({ bootstrap: [first.address] });
    await late.net.moveTo(address, lab.network.gateway);
    const sole = await giveSole(lab, late, 'late-sole');
    t.diagnostic(`its content found after ${seconds(await untilPulled(second, sole))}`);
    t.diagnostic(`meanwhile ${told(await pulls.end())}`);
  });

  test('hosts with IPv4, IPv6 and both: who shares a family shares content, and fe80 is told to nobody', async (t) => {
    const lab = await Lab.create({ hosts: 4, ipv6: true }, t);
    const [four, six, both, both2] = lab.hosts as [LabHost, LabHost, LabHost, LabHost];
    await four.net.without(6);
    await six.net.without(4);
    const bootstrap = [both.address, `/ip6/${both.net.address6}/tcp/5001`];
    await lab.startSpegel({ bootstrap });
    await untilJoined([both, both2], 3);
    await untilJoined([four, six], 2);
    const [of4, of6, ofBoth] = [
      await giveSole(lab, four, 'of4'),
      await giveSole(lab, six, 'of6'),
      await giveSole(lab, both, 'of-both'),
    ];
    const pulls = new Meanwhile([four, both], new Supply(lab, 'families'));
    for (const host of [four, six, both2]) await untilPulled(host, ofBoth);
    for (const sole of [of4, of6]) await untilPulled(both2, sole);
    // By way of a host that has both, what one family alone had reaches the other.
    for (const [host, sole] of [
      [six, of4],
      [four, of6],
    ] as const)
      await untilPulled(host, sole);
    const unreachable = await giveSole(lab, six, 'six-alone');
    const asked = performance.now();
    assert.equal(await headStatus(four, unreachable.layerPaths[0] ?? ''), 404);
    t.diagnostic(`a host of the other family costs ${seconds(performance.now() - asked)}`);
    t.diagnostic(`meanwhile ${told(await pulls.end())}`);
    for (const { spegel } of lab.hosts) {
      const said = (await spegel.logs()).filter(({ msg }) => msg === 'router listens');
      const cached = await readFile(join(spegel.dataDir, 'peers.json'), 'utf8').catch(() => '');
      assert.doesNotMatch(JSON.stringify(said) + cached, /fe80/);
      assert.equal(said.length, 1);
    }
  });
});
