/** Hosts that pull one fresh image, one every five seconds, all links alike. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Containerd } from '../../../lab/containerd/containerd.ts';
import { LOCAL_MIRROR, writeHostsToml } from '../../../lab/containerd/hosts-toml.ts';
import { bytesOf, untilJoined } from '../../../lab/fleet/fleet.ts';
import {
  type FreshImage,
  freshImage,
  SHARED_CORES_FLAGS,
  shapeLinks,
} from '../../../lab/fleet/inflight-pulls.ts';
import { Lab, type LabHost } from '../../../lab/fleet/lab.ts';
import type { Shape } from './cases.ts';
import { EventFilter } from './event-filter.ts';

const HOSTS = 4;
const STAGGER_MS = 5_000;
const PULL_TIMEOUT_MS = 300_000;
const LINKS = { links: '100mbit', upstream: '100mbit' };

export const STAGGERED_IMAGES: Readonly<Record<string, Shape>> = {
  // CRI gets three layers at a time: of four equal ones none lands long before the last.
  '4x64': { layers: 4, layerMiB: 64 },
  '16x16': { layers: 16, layerMiB: 16 },
};

export const STAGGERED_WAYS = ['without', 'images', 'layers', 'inflight'] as const;
export type StaggeredWay = (typeof STAGGERED_WAYS)[number];

/**
 * Both ask the mirror for all layers at once. PullImage (`cri`) then gets three at a time from the
 * upstream, `ctr content fetch` (`ctr`) all of them at the same time.
 */
export const STAGGERED_CLIENTS = ['cri', 'ctr'] as const;
export type StaggeredClient = (typeof STAGGERED_CLIENTS)[number];

export interface Staggered {
  readonly client: StaggeredClient;
  readonly image: string;
  readonly way: StaggeredWay;
  /** Of each host from its own start, in milliseconds, in the order of their starts. */
  readonly tookMs: readonly number[];
  /** What the upstream sent, in sizes of the image. */
  readonly copies: number;
}

export class StaggerLab implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #client: StaggeredClient;
  readonly #name: string;
  readonly #fresh = new Map<
    StaggeredWay,
    { readonly big: FreshImage; readonly warm: FreshImage }
  >();
  readonly #filters: EventFilter[] = [];

  private constructor(lab: Lab, client: StaggeredClient, name: string) {
    this.#lab = lab;
    this.#client = client;
    this.#name = name;
  }

  /** An image of its own for each way: peers must not know of it from before. */
  static async create(
    client: StaggeredClient,
    name: string,
    ways: readonly StaggeredWay[],
  ): Promise<StaggerLab> {
    const shape = STAGGERED_IMAGES[name];
    if (shape === undefined) throw new Error(`no image ${name}`);
    const lab = await Lab.create({ hosts: HOSTS, containerd: [{ version: '2.1', cri: true }] });
    const self = new StaggerLab(lab, client, name);
    try {
      for (const way of ways) {
        const warm = await freshImage(lab, `warm-${way}`, { layers: 4, layerMiB: 1 });
        self.#fresh.set(way, { big: await freshImage(lab, way, shape), warm });
      }
      await shapeLinks(lab, LINKS);
      return self;
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  async pull(way: StaggeredWay): Promise<Staggered> {
    const { hosts, upstream } = this.#lab;
    const fresh = this.#fresh.get(way);
    if (fresh === undefined) throw new Error(`no image for ${way}`);
    await this.#start(way);
    // A daemon that has just started compiles what it runs for the first time.
    for (const { containerd } of hosts) await this.#fetch(containerd, fresh.warm.reference);
    const before = await upstream.net.bytesSent();
    const tookMs = await Promise.all(
      hosts.map(async ({ containerd }, index) => {
        await sleep(index * STAGGER_MS);
        const started = performance.now();
        await this.#fetch(containerd, fresh.big.reference);
        return performance.now() - started;
      }),
    );
    const copies = ((await upstream.net.bytesSent()) - before) / bytesOf(fresh.big.image);
    await this.#stop();
    const namespace = this.#client === 'cri' ? 'k8s.io' : 'default';
    for (const { containerd } of hosts) {
      await containerd.removeImage(fresh.big.reference, namespace);
    }
    return { client: this.#client, image: this.#name, way, tookMs, copies };
  }

  async #fetch(containerd: Containerd, reference: string): Promise<void> {
    const timeoutMs = PULL_TIMEOUT_MS;
    if (this.#client === 'cri') await containerd.cri.pull(reference, timeoutMs);
    else await containerd.fetch(reference, { timeoutMs });
  }

  async #start(way: StaggeredWay): Promise<void> {
    const { hosts, upstream } = this.#lab;
    const mirrors = way === 'without' ? [] : [LOCAL_MIRROR];
    for (const { containerd } of hosts) {
      await writeHostsToml(containerd.hostsDir, { registry: upstream.registry, mirrors });
    }
    if (way === 'without') return;
    const flags = { ...SHARED_CORES_FLAGS, 'log-level': 'INFO', inflight: way === 'inflight' };
    // One after the other: six that start at once take these few cores for longer than a start may
    // take.
    for (const host of hosts) {
      const containerdSocket =
        way === 'images' ? await this.#filterOf(host) : host.containerd.socket;
      await this.#lab.startSpegel({ flags, containerdSocket }, [host]);
    }
    await untilJoined(hosts, HOSTS - 1);
    const unfiltered = this.#filters.filter(({ hidden }) => hidden === 0).length;
    if (unfiltered > 0) throw new Error(`${unfiltered} daemons hear of content that has landed`);
  }

  async #filterOf({ dir, containerd }: LabHost): Promise<string> {
    const filter = await EventFilter.listen(join(dir, 'events.sock'), containerd.socket);
    this.#filters.push(filter);
    return filter.socket;
  }

  async #stop(): Promise<void> {
    await Promise.all(this.#lab.hosts.map(({ spegel }) => spegel.stop()));
    for (const filter of this.#filters.splice(0)) await filter[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    await this.#lab.dispose();
  }
}
