/**
 * A fleet that has the old image of tags that have moved at the upstream, and what its hosts say of
 * their pulls.
 */
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PullOptions } from '../../lab/containerd/containerd.ts';
import { blobPath, headStatus } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost } from '../../lab/fleet/lab.ts';
import type { LogLine, SpegelOptions } from '../../lab/fleet/spegel.ts';
import { type ImageShape, type Layout, makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { quickPush } from '../../lab/registries/quick-push.ts';
import { pullBy, TAG_VERSIONS, type Way } from './tag-pulls.ts';

/** The host that holds the old images comes first, then one that pulls for each version. */
export function tagLab(t: TestContext): Promise<Lab> {
  const versions = ['2.1' as const, ...TAG_VERSIONS];
  const containerd = versions.map((version) => ({ version, cri: true }));
  return Lab.create({ hosts: versions.length, containerd }, t);
}

export interface MovedTag {
  readonly ref: string;
  /** Digests: what the holder has of it, and what it means at the registry. */
  readonly old: string;
  readonly moved: string;
}

/** Each look starts a curl. */
const FOUND = { timeoutMs: 60_000, everyMs: 500 };
const SMALL = { layers: 1, layerBytes: 2048 };

/** Pushes an image for the tag `v1` of a repository; without `more`, a small one. Its digest. */
export async function pushTag(
  lab: Lab,
  repository: string,
  seed: string,
  more: Partial<ImageShape> = {},
): Promise<Layout> {
  const shape = { ...SMALL, ...more, seed: `${repository}-${seed}` };
  const image = await makeImage(join(lab.dir, shape.seed.replaceAll('/', '-')), shape);
  await quickPush(lab.upstream, image, repository);
  return image;
}

/**
 * Tags that have moved since `holder` pulled them, by repository; all other hosts can find what it
 * has.
 */
export async function movedTags(
  lab: Lab,
  holder: LabHost,
  wanted: readonly { readonly registry: string; readonly repository: string }[],
): Promise<Map<string, MovedTag>> {
  const tags = new Map<string, MovedTag>();
  const olds: Layout[] = [];
  for (const { registry, repository } of wanted) {
    const ref = `${registry}/${repository}:v1`;
    const old = await pushTag(lab, repository, 'old');
    await pullBy(holder, 'fetch', ref);
    const moved = await pushTag(lab, repository, 'moved');
    olds.push(old);
    tags.set(repository, { ref, old: old.digest, moved: moved.digest });
  }
  const others = lab.hosts.filter((host) => host !== holder);
  const [last, lastOld] = [wanted.at(-1), olds.at(-1)];
  if (last === undefined || lastOld === undefined) return tags;
  const path = blobPath(
    lab,
    last.repository,
    lastOld.manifests[0]?.config.digest ?? '',
    last.registry,
  );
  await Promise.all(
    others.map((host) => {
      const isFound = async () => (await headStatus(host, path)) === 200;
      return waitUntil(`${host.name} finds ${last.repository}`, isFound, FOUND);
    }),
  );
  return tags;
}

const UPSTREAM_SAYS = 'the upstream registry says what the tag means';

/** How often this host's Spegel has sent a pull of that tag to the upstream because of the rule. */
export async function refusals({ spegel }: LabHost, ref: string): Promise<number> {
  const own = (await spegel.logs()).filter(({ msg, tag }) => msg === 'not found' && tag === ref);
  return own.filter(({ reason }) => reason === UPSTREAM_SAYS).length;
}

/**
 * On a busy machine a peer that has it is not found in time now and then: that is no matter of the
 * rule.
 */
const FLEET_TRIES = 5;
/** For so long a peer that was silent once is not asked. */
const PEER_BARRED_MS = 5_500;

/** Pulls where the fleet may answer, and the upstream does not. */
export async function pullFromFleet(
  host: LabHost,
  way: Way,
  ref: string,
  options: PullOptions = { timeoutMs: 60_000 },
): Promise<void> {
  for (let left = FLEET_TRIES - 1; ; left--) {
    const before = await refusals(host, ref);
    const error = await pullBy(host, way, ref, options).catch((reason) => reason);
    if (error === undefined) return;
    const wasRefused = (await refusals(host, ref)) > before;
    if (wasRefused || left === 0) throw new Error(`${host.name} ${way} ${ref}: ${error}`);
    await sleep(PEER_BARRED_MS);
  }
}

const WARNING = 'containerd could not get a tag from the upstream registry';

/** What this host's Spegel has said of pulls that failed, of one registry or of all. */
export async function tagWarnings(
  { spegel }: LabHost,
  of?: { readonly registry: string },
): Promise<LogLine[]> {
  const lines = (await spegel.logs()).filter(({ msg }) => msg === WARNING);
  return lines.filter(({ registry }) => of === undefined || registry === of.registry);
}

/** Five daemons that start at once on two busy cores take longer than one. */
const STARTED_MS = 60_000;
/** Nor is a peer on them dead that takes half a second. */
const PATIENT = { 'mirror-resolve-timeout': '2s' };

/** Starts the daemon on every host, and waits. */
export async function startAll(lab: Lab): Promise<void> {
  await Promise.all(lab.hosts.map((host) => startOn(lab, host)));
}

/** Starts the daemon on a host, bootstrapped from all others, and waits. */
export async function startOn(lab: Lab, host: LabHost, options: SpegelOptions = {}): Promise<void> {
  const bootstrap = lab.hosts.filter((other) => other !== host).map(({ address }) => address);
  const { socket, hostsDir } = host.containerd;
  const flags = { ...PATIENT, ...options.flags };
  const settings = { containerdSocket: socket, hostsDir, bootstrap, ...options, flags };
  await host.spegel.launch(settings);
  await host.spegel.service.ready(() => host.spegel.isReady(), STARTED_MS);
}
