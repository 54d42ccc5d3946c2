/** Hosts of a lab that pull one fresh image together, and how much of it the upstream sends. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ImageShape, type Layout, makeImage } from '../images/images.ts';
import type { NetHost } from '../network/nethost.ts';
import { untilCalm } from './calm.ts';
import { bytesOf, untilJoined } from './fleet.ts';
import type { Lab, LabHost } from './lab.ts';

/**
 * The hosts of a lab share the few cores of one machine, and eight `ctr` that start at once take
 * them for two seconds. A tracker answers late then: it is given five times the default.
 */
export const SHARED_CORES_FLAGS = { 'mirror-resolve-timeout': '1s' } as const;

export interface LinkRates {
  /** Bandwidth of each host's link and of the upstream's, in tc's words. */
  readonly links: string;
  readonly upstream: string;
}

export async function shapeLinks(lab: Lab, { links, upstream }: LinkRates): Promise<void> {
  await Promise.all(lab.hosts.map((host) => host.net.rate(links)));
  await lab.upstream.net.rate(upstream);
}

export interface TogetherOptions {
  readonly hosts?: readonly LabHost[];
  /** Pause between two hosts' starts. */
  readonly staggerMs?: number;
  /**
   * By `ctr images pull`, which unpacks and in 2.1 fetches in containerd itself; else `ctr content
   * fetch`.
   */
  readonly unpack?: boolean;
  /** `name:password` for the upstream. */
  readonly user?: string;
  /** A pull that takes longer is ended by force and counts as failed. */
  readonly timeoutMs?: number;
}

export interface TogetherResult {
  /** Of each host, from its own start, in milliseconds; undefined: its pull failed. */
  readonly tookMs: readonly (number | undefined)[];
  readonly errors: readonly string[];
  /** Bytes that the upstream sent, TCP headers included, divided by the image's size. */
  readonly copies: number;
}

/** The pull of one host, running or ended. */
export interface HostPull {
  readonly host: LabHost;
  /**
   * Milliseconds from this host's own start, or the error that ended the pull.
   */
  readonly ended: Promise<number | Error>;
  /** Ends it by force, for a host that the test itself has crippled. */
  abandon(): void;
}

/** Has them pull the image, and does not wait. */
export function startPulls(
  lab: Lab,
  reference: string,
  {
    hosts = lab.hosts,
    staggerMs = 0,
    unpack = false,
    timeoutMs = 120_000,
    user,
  }: TogetherOptions = {},
): HostPull[] {
  return hosts.map((host, index) => {
    const abandoned = new AbortController();
    const pull = async () => {
      await sleep(index * staggerMs);
      const started = performance.now();
      const options = { timeoutMs, signal: abandoned.signal, ...(user ? { user } : {}) };
      const { containerd } = host;
      await (unpack ? containerd.pull(reference, options) : containerd.fetch(reference, options));
      return performance.now() - started;
    };
    const ended = pull().catch((error: Error) => new Error(`${host.name}: ${error.message}`));
    return { host, ended, abandon: () => abandoned.abort() };
  });
}

/** Waits for the ends of these pulls: how long they took, and what went wrong. */
export async function endOf(pulls: readonly HostPull[]): Promise<Omit<TogetherResult, 'copies'>> {
  const ends = await Promise.all(pulls.map((pull) => pull.ended));
  return {
    tookMs: ends.map((end) => (typeof end === 'number' ? end : undefined)),
    errors: ends.flatMap((end) => (end instanceof Error ? [end.message] : [])),
  };
}

/** Has hosts pull the image together, by default without unpacking it, and waits for the end. */
export async function pullTogether(
  lab: Lab,
  reference: string,
  image: Layout,
  options: TogetherOptions = {},
): Promise<TogetherResult> {
  const copies = await countCopies(lab, image);
  const end = await endOf(startPulls(lab, reference, options));
  return { ...end, copies: await copies() };
}

/** What it returns tells how many sizes of the image the upstream has sent from now on. */
export async function countCopies(
  { upstream }: { readonly upstream: { readonly net: NetHost } },
  image: Layout,
): Promise<() => Promise<number>> {
  const before = await upstream.net.bytesSent();
  return async () => ((await upstream.net.bytesSent()) - before) / bytesOf(image);
}

/**
 * Waits until the hosts know each other, and a moment more, so that all agree on each digest's
 * tracker.
 */
export async function untilSettled(lab: Lab, hosts: readonly LabHost[] = lab.hosts): Promise<void> {
  await untilJoined(hosts, hosts.length - 1);
  await sleep(500);
  await untilCalm();
}

/** An image that the upstream has and no host. */
export interface FreshImage {
  readonly image: Layout;
  readonly reference: string;
  /** The same image, named by its digest. */
  readonly byDigest: string;
  /** Digests of the layers, in order. */
  readonly layers: readonly string[];
}

/** Makes one and pushes it. `name` is its seed and repository. */
export async function freshImage(
  lab: Lab,
  name: string,
  shape: Omit<ImageShape, 'seed'>,
  {
    make = makeImage,
    upstream = lab.upstream,
  }: { make?: typeof makeImage; upstream?: Lab['upstream'] } = {},
): Promise<FreshImage> {
  const image = await make(join(lab.dir, name), { seed: name, ...shape });
  const reference = await upstream.push(image, `fresh/${name}`);
  const layers = image.manifests[0]?.layers.map(({ digest }) => digest) ?? [];
  const byDigest = `${upstream.registry}/fresh/${name}@${image.digest}`;
  return { image, reference, byDigest, layers };
}

/** Of an image that a test wants. */
export interface FreshImageShape extends Omit<ImageShape, 'seed'> {
  readonly make?: typeof makeImage;
}

/**
 * Waits until the hosts know each other, has them pull a small image together, and shapes their
 * links: a daemon that has just started compiles what it runs for the first time, which is slow on
 * few cores. Returns an image that no host has.
 */
export async function prepareFreshImage(
  lab: Lab,
  links: LinkRates,
  { make = makeImage, ...shape }: FreshImageShape,
): Promise<FreshImage> {
  // Pushed before the links are shaped: a push takes as long as a pull.
  const [fresh, warm] = [
    await freshImage(lab, 'fresh', shape, { make }),
    await freshImage(lab, 'warm-up', { layers: 4, layerMiB: 1 }),
  ];
  await untilSettled(lab);
  const { errors } = await pullTogether(lab, warm.reference, warm.image);
  if (errors.length > 0) throw new Error(errors.join('\n'));
  await shapeLinks(lab, links);
  await lab.upstream.forget();
  return fresh;
}
