/**
 * A user without rights on a host holds 900 connections to its Spegel, in every state that one can
 * have, while its containerd pulls. ATTACK_SECONDS: how long, for each generation of containerd.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { blobPath, digestsOf, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { type Layout, MIB, makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import type { ContainerdVersion } from '../../lab/programs/programs.ts';
import { quickPush } from '../../lab/registries/quick-push.ts';
import type { Attack, Tally } from './local-user.ts';
import { MemoryCgroup } from './memory-cgroup.ts';
import type { Waits } from './own-asker.ts';
import { cpuSeconds, lastLine, pullFor, startProgram } from './programs.ts';
import { SocketMemory } from './socket-memory.ts';

const VERSIONS: readonly ContainerdVersion[] = ['1.6', '2.1', '2.4'];
const skip = await labMissing(...VERSIONS);
const ATTACK_MS = Number(process.env.ATTACK_SECONDS ?? 5) * 1_000;
const CONNECTIONS = 900;
const NOBODY = 65_534;
const MAX_PEAK_MIB = 300;
/** A request that hangs, on a machine that is busy with other tests. */
const MAX_WAIT_MS = 10_000;

interface Images {
  /** In the host's store. */
  readonly here: Layout;
  /** Of a peer alone. */
  readonly there: Layout;
  /** What its containerd pulls meanwhile; a peer has them. */
  readonly pulled: readonly { readonly ref: string; readonly image: Layout }[];
}

test('900 connections of another user: no pull fails, nobody waits, and the service keeps to its memory', {
  skip,
}, async (t) => {
  const lab = await Lab.create({ hosts: 4, containerd: [...VERSIONS, '2.1'] }, t);
  const holder = lab.host(3);
  const images = await push(lab);
  await lab.startSpegel({}, [holder]);
  const { registry } = lab.upstream;
  for (const name of ['there', ...images.pulled.keys()])
    await holder.containerd.fetch(`${registry}/own/${name}:v1`);
  for (const host of lab.hosts.slice(0, VERSIONS.length))
    await t.test(`containerd ${host.containerd.version}`, (t) => endure(t, lab, host, images));
});

async function push(lab: Lab): Promise<Images> {
  const make = async (name: string, layerMiB: number) => {
    const image = await makeImage(join(lab.dir, name), { seed: name, layers: 3, layerMiB });
    await quickPush(lab.upstream, image, `own/${name}`);
    return { ref: `${lab.upstream.registry}/own/${name}:${image.tag}`, image };
  };
  const [here, there] = [await make('here', 32), await make('there', 32)];
  const pulled = [];
  for (let index = 0; index < 4; index += 1) pulled.push(await make(String(index), 3));
  return { here: here.image, there: there.image, pulled };
}

async function endure(t: TestContext, lab: Lab, host: LabHost, images: Images): Promise<void> {
  await host.containerd.fetch(`${lab.upstream.registry}/own/here:v1`);
  const name = `spegel-own-${lab.network.slot.number}-${host.name}`;
  const cgroup = await MemoryCgroup.make(name);
  t.after(() => cgroup?.remove());
  const sockets = await SocketMemory.of(name);
  const { socket: containerdSocket, hostsDir } = host.containerd;
  const bootstrap = [lab.host(3).address];
  await host.spegel.launch({ containerdSocket, hostsDir, bootstrap });
  await cgroup?.take(host.spegel.service.pid);
  await host.spegel.service.ready(() => host.spegel.isReady());
  await untilFound(lab, host, 'own/there', images.there);
  const refs = images.pulled.map(({ ref }) => ref);
  const calm = await pullFor(host, refs, 1_000);
  const attacker = startProgram(lab, host.net, 'local-user', [
    JSON.stringify(attackOn(lab, images)),
  ]);
  const [layer = ''] = digestsOf(images.here).slice(-1);
  const urls = ['', 'livez', blobPath(lab, 'own/here', layer).slice(1)];
  const asker = startProgram(
    lab,
    host.net,
    'own-asker',
    urls.map((path) => `http://127.0.0.1:5000/${path || 'v2/'}`),
  );
  const tally = () => lastLine<Tally>(attacker);
  // What is refused at once is open for a moment only.
  const made = async () => {
    const { open, answers } = (await tally()) ?? { open: 0, answers: {} };
    return Object.values(answers).reduce((sum, one) => sum + one, open);
  };
  await waitUntil('all were made', async () => (await made()) > CONNECTIONS / 2);
  const cpuBefore = await cpuSeconds(host);
  const startedAt = performance.now();
  const pulls = await pullFor(host, refs, ATTACK_MS);
  const seconds = (await cpuSeconds(host)) - cpuBefore;
  const share = (seconds * 100_000) / (performance.now() - startedAt);
  const [held, waits] = [await tally(), await lastLine<Waits>(asker)];
  await Promise.all([attacker.stop('SIGKILL'), asker.stop('SIGKILL')]);
  assert.ok(held !== undefined && waits !== undefined);
  const peak = cgroup && ((await cgroup.peak()) + (await sockets.peak())) / MIB;
  t.diagnostic(
    `${pulls.count} pulls, ${pulls.errors.length} failed, slowest ` +
      `${pulls.slowestMs} ms (calm ${calm.slowestMs} ms); ${waits.asked} requests, ` +
      `${waits.bad.length} bad, longest ${Math.round(waits.longestMs)} ms; peak ` +
      `${peak === undefined ? 'unknown' : Math.round(peak)} MiB, ${Math.round(share)} % of a core; ` +
      JSON.stringify(held),
  );
  const isAlive = host.spegel.running;
  await host.spegel.stop();
  assert.ok(isAlive, 'the daemon was killed');
  assert.deepEqual(pulls.errors, []);
  // A store that takes too long sends containerd on, whatever it is that keeps the machine busy.
  assert.deepEqual(
    waits.bad.filter((status) => status !== '404'),
    [],
  );
  assert.ok(waits.longestMs < MAX_WAIT_MS, `${waits.longestMs} ms`);
  const { 503: refused = 0, none = 0 } = held.answers;
  assert.ok(refused > 0 && refused + none > CONNECTIONS, 'it was not refused');
  if (peak !== undefined) assert.ok(peak < MAX_PEAK_MIB, `${peak} MiB`);
}

function attackOn(lab: Lab, { here, there, pulled }: Images): Attack {
  const ask = (path: string, ...fields: string[]) =>
    `${['GET', path, 'HTTP/1.1'].join(' ')}\r\n${['Host: localhost', ...fields].join('\r\n')}\r\n\r\n`;
  const layerOf = (image: Layout) => digestsOf(image).at(-1) ?? '';
  const path = (image: Layout) => blobPath(lab, 'own/x', layerOf(image));
  const requests = [
    '',
    'GET /v2/ HTTP/1.1\r\nX-Slow: ',
    ask(path(here)),
    ask(path(here)).repeat(4),
    ask(path(here), 'Range: bytes=0-9999999,10000001-29999999'),
    ask(path(there)),
    ask(path(there), 'Range: bytes=0-9999999,10000001-29999999'),
    ask(path(here).replace('/blobs/', '/manifests/').replace(layerOf(here), here.digest)),
    ...pulled.map(({ image }) =>
      ask(path(image), 'X-Spegel-Mirrored: true', 'X-Spegel-Inflight: true'),
    ),
  ];
  const count = Math.ceil(CONNECTIONS / requests.length);
  return { port: 5000, uid: NOBODY, connections: requests.map((request) => ({ count, request })) };
}
