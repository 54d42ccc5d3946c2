/** What the tests of in-flight sharing look at while hosts pull, and after. */
import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { peerIdFromString } from '@libp2p/peer-id';
import { assertHolds } from '../../lab/fleet/fleet.ts';
import type { FreshImage, TogetherResult } from '../../lab/fleet/inflight-pulls.ts';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';
import type { LogLine } from '../../lab/fleet/spegel.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { distance, kadPoint, multihashOf } from '../../lib/routing/dht/keys.ts';

/** How many bytes of a blob this host's containerd has, complete or still on their way. */
export async function bytesHere(host: LabHost, digest: string): Promise<number> {
  const whole = await stat(host.containerd.blobPath(digest)).catch(() => undefined);
  if (whole !== undefined) return whole.size;
  const ingests = join(host.containerd.contentRoot, 'ingest');
  for (const name of await readdir(ingests).catch(() => [])) {
    const ref = await readFile(join(ingests, name, 'ref'), 'utf8').catch(() => '');
    if (!ref.endsWith(digest)) continue;
    return (await stat(join(ingests, name, 'data')).catch(() => ({ size: 0 }))).size;
  }
  return 0;
}

/** Waits until each of these hosts has so much of a blob. */
export async function untilEachHas(
  hosts: readonly LabHost[],
  digest: string,
  bytes: number,
): Promise<void> {
  for (const host of hosts) {
    const isHere = async () => (await bytesHere(host, digest)) >= bytes;
    await waitUntil(`${host.name} has ${bytes} bytes of ${digest}`, isHere, { timeoutMs: 30_000 });
  }
}

/**
 * Lines in which this host's Spegel says where a blob came from, or why containerd had to go
 * upstream.
 */
export async function storyOf(host: LabHost, digest: string): Promise<LogLine[]> {
  return (await host.spegel.logs()).filter(
    (line) =>
      (line.msg === 'blob from the fleet' && line.digest === digest) ||
      (line.msg === 'not found' && line.digest === digest),
  );
}

const isLead = (line: LogLine) =>
  line.msg === 'not found' && String(line.reason).startsWith('nobody has this blob yet');

/** The hosts that were told to get a blob from the upstream for all. */
export async function leadersOf(hosts: readonly LabHost[], digest: string): Promise<LabHost[]> {
  const stories = await Promise.all(hosts.map((host) => storyOf(host, digest)));
  return hosts.filter((_, index) => stories[index]?.some(isLead));
}

/** Waits until one of them was told to lead. */
export async function untilLed(hosts: readonly LabHost[], digest: string): Promise<LabHost> {
  let leader: LabHost | undefined;
  await waitUntil(`somebody leads ${digest}`, async () => {
    [leader] = await leadersOf(hosts, digest);
    return leader !== undefined;
  });
  return leader as LabHost;
}

/** The host whose node is the closest to a digest: its tracker, if all speak the protocol. */
export async function trackerOf(hosts: readonly LabHost[], digest: string): Promise<LabHost> {
  const key = kadPoint(multihashOf(digest));
  const places = await Promise.all(
    hosts.map(async (host) => {
      const line = (await host.spegel.logs()).findLast(({ msg }) => msg === 'router listens');
      const id = peerIdFromString(String(line?.peer));
      return { host, far: distance(key, kadPoint(id.toMultihash().bytes)) };
    }),
  );
  const [closest] = places.sort((a, b) => a.far - b.far);
  assert.ok(closest);
  return closest.host;
}

/** Everybody has the whole image, and the upstream has sent fewer than so many copies. */
export async function assertShared(
  hosts: readonly LabHost[],
  { image }: FreshImage,
  { errors, copies }: Pick<TogetherResult, 'errors' | 'copies'>,
  mostCopies: number,
): Promise<void> {
  assert.deepEqual(errors, []);
  for (const host of hosts) await assertHolds(host, image);
  assert.ok(copies < mostCopies, `the upstream sent ${copies.toFixed(2)} copies`);
}

/** What these hosts got of the upstream's blobs, in bytes, since its log was forgotten. */
export async function gotFromUpstream(lab: Lab, hosts: readonly LabHost[]): Promise<number> {
  const requests = await lab.upstream.blobRequests();
  const isTheirs = (remote: string) =>
    hosts.some(({ address }) => remote.startsWith(`${address}:`));
  return requests
    .filter(({ remote }) => isTheirs(remote))
    .reduce((sum, { bytes }) => sum + bytes, 0);
}

/** GETs of manifests by their digest at the upstream, by path. */
export async function manifestGets(lab: Lab): Promise<Map<string, number>> {
  const gets = new Map<string, number>();
  for (const { method, uri } of await lab.upstream.requests()) {
    if (method === 'GET' && uri.includes('/manifests/')) gets.set(uri, (gets.get(uri) ?? 0) + 1);
  }
  return gets;
}

/** The sum of one metric over hosts. */
export async function sumOf(
  hosts: readonly LabHost[],
  name: string,
  labels?: string,
): Promise<number> {
  const values = await Promise.all(hosts.map((host) => host.spegel.metric(name, labels)));
  return values.reduce((sum, value) => sum + value, 0);
}
