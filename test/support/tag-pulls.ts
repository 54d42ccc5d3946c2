/** Pulls of a tag by each way that containerd has, and what came of them. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerdApi } from '../../lib/containerd/api.ts';
import { ContainerdClient } from '../../lib/containerd/client.ts';
import type { PullOptions } from './containerd.ts';
import { waitUntil } from './exec.ts';
import { blobPath, headStatus } from './fleet.ts';
import { type ImageShape, type Layout, makeImage } from './images.ts';
import type { Lab, LabHost } from './lab.ts';
import type { ContainerdVersion } from './provision.ts';
import type { Kind, MoodyRegistry } from './moody-registry.ts';
import { quickPush } from './quick-push.ts';
import { Service } from './service.ts';
import type { LogLine, SpegelOptions } from './spegel.ts';

/** `ctr images pull`, `ctr content fetch`, CRI's PullImage. */
export const WAYS = ['ctr', 'fetch', 'cri'] as const;
export type Way = (typeof WAYS)[number];

/** What people and the kubelet use. */
export const BOTH: readonly Way[] = ['ctr', 'cri'];

export const TAG_VERSIONS: readonly ContainerdVersion[] = ['1.6', '1.7', '2.1', '2.4'];

const CALL_MS = 5_000;

export const namespaceOf = (way: Way) => (way === 'cri' ? 'k8s.io' : 'default');

/** Rejects where the pull fails. An aborted signal kills `ctr`, or cancels the call. */
export async function pullBy(
  { containerd }: LabHost,
  way: Way,
  ref: string,
  options: PullOptions = {},
): Promise<void> {
  if (way === 'cri') await containerd.cri.pull(ref, options.timeoutMs, options);
  else if (way === 'fetch') await containerd.fetch(ref, options);
  else await containerd.pull(ref, options);
}

/** The digest that the tag has in that namespace; empty where there is no such image. */
export async function digestOfTag(
  { containerd }: LabHost,
  ref: string,
  namespace: string,
): Promise<string> {
  const { stdout } = await containerd.ctr(['images', 'list', `name==${ref}`], { namespace });
  return /sha256:[0-9a-f]{64}/.exec(stdout)?.[0] ?? '';
}

/** Ids of the leases with an end that a namespace has now: containerd's pulls hold such ones. */
export async function leasesOf({ containerd }: LabHost, namespace: string): Promise<string[]> {
  const client = new ContainerdClient(containerd.socket);
  try {
    const leases = await new ContainerdApi(client).leases(namespace, AbortSignal.timeout(CALL_MS));
    return leases.filter(({ labels }) => labels['containerd.io/gc.expire']).map(({ id }) => id);
  } finally {
    client.close();
  }
}

export interface ImageEvent {
  readonly namespace: string;
  readonly topic: string;
  readonly name: string;
}

/** Follows a containerd's events, of all namespaces. */
export class ImageEvents {
  readonly #service: Service;
  #forgotten = 0;

  /** Ends with the lab. */
  constructor(lab: Lab, { name, net, containerd, dir }: LabHost) {
    const ctr = join(lab.tools.containerd[containerd.version].bin, 'ctr');
    const argv = net.on(ctr, '--address', containerd.socket, 'events');
    this.#service = new Service(argv, join(dir, 'events.log'));
    this.#service.start();
    lab.keep(`${name} events`, this.#service);
  }

  /** Since the last forget(). */
  async all(): Promise<ImageEvent[]> {
    return (await this.#all()).slice(this.#forgotten);
  }

  async forget(): Promise<void> {
    this.#forgotten = (await this.#all()).length;
  }

  async #all(): Promise<ImageEvent[]> {
    const text = await readFile(this.#service.logPath, 'utf8').catch(() => '');
    return text.split('\n').flatMap((line) => {
      const [, namespace = '', topic = '', json = ''] =
        /(\S+) (\/images\/\w+) (\{.*\})\s*$/.exec(line) ?? [];
      if (topic === '') return [];
      return { namespace, topic, name: String((JSON.parse(json) as { name?: string }).name) };
    });
  }
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

/** Tags that have moved since `holder` pulled them, by repository; all other hosts can find what it has. */
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
    await holder.containerd.fetch(ref);
    const moved = await pushTag(lab, repository, 'moved');
    olds.push(old);
    tags.set(repository, { ref, old: old.digest, moved: moved.digest });
  }
  const others = lab.hosts.filter((host) => host !== holder);
  const [last, lastOld] = [wanted.at(-1), olds.at(-1)];
  if (last === undefined || lastOld === undefined) return tags;
  const path = blobPath(lab, last.repository, lastOld.manifests[0]?.config.digest ?? '', last.registry);
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
  const own = (await spegel.logs()).filter(({ msg, key }) => msg === 'not found' && key === ref);
  return own.filter(({ reason }) => reason === UPSTREAM_SAYS).length;
}

/** On a busy machine a peer that has it is not found in time now and then: that is no matter of the rule. */
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

/** On all hosts but the holder, the first, at once; by one way after the other. */
export async function eachPuller(
  lab: Lab,
  ways: readonly Way[],
  step: (host: LabHost, way: Way) => Promise<void>,
): Promise<void> {
  await Promise.all(
    lab.hosts.slice(1).map(async (host) => {
      for (const way of ways) await step(host, way);
    }),
  );
}

/** Pulls, and fails unless the tag has that digest then. */
export async function assertPulls(
  host: LabHost,
  way: Way,
  ref: string,
  digest: string,
  options: PullOptions = { timeoutMs: 100_000 },
): Promise<void> {
  await pullBy(host, way, ref, options);
  const what = `${host.containerd.version} ${way} ${ref}`;
  assert.equal(await digestOfTag(host, ref, namespaceOf(way)), digest, what);
}

export interface CutOptions {
  readonly options?: PullOptions;
  readonly end?: () => Promise<void>;
  /** Where the registry sees containerd come from. Default: its host. */
  readonly from?: string;
}

/**
 * A pull that is ended when containerd has asked the registry for something of that kind: as a person ends `ctr`, as
 * CRI's client cancels its call, or by `end`.
 */
export async function cutPull(
  host: LabHost,
  way: Way,
  ref: string,
  registry: MoodyRegistry,
  kind: Kind,
  { options = {}, end, from = host.address }: CutOptions = {},
): Promise<void> {
  const asked = async () =>
    (await registry.requests(kind)).filter(
      (one) => one.from === from && one.userAgent.startsWith('containerd/'),
    ).length;
  const before = await asked();
  const cutting = new AbortController();
  const killSignal = KILL_SIGNALS[Number(host.name.slice(1)) % 2] ?? 'SIGKILL';
  const pulling = pullBy(host, way, ref, { ...options, signal: cutting.signal, killSignal }).then(
    () => assert.fail(`${host.name} ${way} ${ref}: pulled`),
    () => {},
  );
  const isAsked = async () => (await asked()) > before;
  await waitUntil(`${host.name} ${way} asks for a ${kind} of ${ref}`, isAsked, FOUND);
  await (end?.() ?? cutting.abort());
  await pulling;
}

const KILL_SIGNALS = ['SIGINT', 'SIGKILL'] as const;

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
