/** What the end-to-end tests ask of a fleet again and again. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Layout } from '../images/images.ts';
import { waitUntil } from '../processes/exec.ts';
import type { Lab, LabHost } from './lab.ts';

/** Digests of one platform's image: what a pull on this machine has to bring. */
export function digestsOf(image: Layout): string[] {
  const [manifest] = image.manifests;
  assert.ok(manifest);
  const children = [manifest.config, ...manifest.layers].map((blob) => blob.digest);
  return [...new Set([image.digest, manifest.digest, ...children])];
}

export function bytesOf(image: Layout): number {
  const [manifest] = image.manifests;
  assert.ok(manifest);
  return [manifest.config, ...manifest.layers].reduce((sum, blob) => sum + blob.size, 0);
}

/** `/v2/<repository>/blobs/<digest>?ns=<registry>`, as containerd asks the mirror. */
export function blobPath(
  lab: Lab,
  repository: string,
  digest: string,
  registry = lab.upstream.registry,
): string {
  return `/v2/${repository}/blobs/${digest}?ns=${registry}`;
}

/** The status that this host's own Spegel answers to a HEAD. */
export async function headStatus(host: LabHost, path: string): Promise<number> {
  const flags = ['--head', '--output', '/dev/null', '--write-out', '%{http_code}'];
  return Number(await host.spegel.get(path, ...flags, '--max-time', '5'));
}

/** Waits until `host` could get every blob of the image through its own Spegel. */
export async function untilFound(
  lab: Lab,
  host: LabHost,
  repository: string,
  image: Layout,
  registry?: string,
): Promise<void> {
  const [manifest] = image.manifests;
  assert.ok(manifest);
  for (const { digest } of [manifest.config, ...manifest.layers]) {
    const path = blobPath(lab, repository, digest, registry);
    const found = async () => (await headStatus(host, path)) === 200;
    await waitUntil(`${host.name} finds ${digest}`, found, { everyMs: 100 });
  }
}

/** Waits until a host announces all of the image by itself. */
export async function untilAdvertised(host: LabHost, image: Layout, others = 0): Promise<void> {
  const keys = digestsOf(image).length + others;
  const enough = async () => (await host.spegel.metric('spegel_advertised_keys')) >= keys;
  await waitUntil(`${host.name} advertises ${keys} keys`, enough);
}

/** Waits until every host of the lab knows `count` peers. */
export async function untilJoined(hosts: readonly LabHost[], count: number): Promise<void> {
  for (const host of hosts) {
    const joined = async () => (await host.spegel.metric('spegel_peers')) >= count;
    await waitUntil(`${host.name} knows ${count} peers`, joined);
  }
}

/** Fails unless everything that a pull brings is in this host's content store. */
export async function assertHolds(
  host: LabHost,
  image: Layout,
  namespace = 'default',
): Promise<void> {
  const present = await host.containerd.digests(namespace);
  const missing = digestsOf(image).filter((digest) => !present.includes(digest));
  assert.deepEqual(missing, [], `missing on ${host.name}`);
}

/** Bytes that this host's Spegel has sent out of its own store. */
export function servedBytes(host: LabHost): Promise<number> {
  return host.spegel.metric('spegel_served_bytes_total');
}

/**
 * The same, and what went out by way of in-flight sharing, as it does where the store is slow to
 * answer.
 */
export async function sentBytes(host: LabHost): Promise<number> {
  return (
    (await servedBytes(host)) + (await host.spegel.metric('spegel_inflight_served_bytes_total'))
  );
}

/**
 * Waits until at least `bytes` more have left one of the hosts; returns the one that sends most.
 */
export async function untilSending(
  hosts: readonly LabHost[],
  before: readonly number[],
  bytes: number,
): Promise<LabHost> {
  for (let tries = 0; tries < 2000; tries += 1) {
    const sent = await Promise.all(hosts.map((host) => host.net.bytesSent()));
    const most = sent.map((now, i) => now - (before[i] ?? 0));
    const top = most.indexOf(Math.max(...most));
    if ((most[top] ?? 0) >= bytes) return hosts[top] as LabHost;
    await sleep(10);
  }
  throw new Error(`nobody sent ${bytes} bytes`);
}
