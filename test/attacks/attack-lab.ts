/** A fleet under attack: real daemons with real containerd of three generations, and liars. */
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { type Layout, MIB, makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import type { ContainerdVersion } from '../../lab/programs/programs.ts';
import { quickPush } from '../../lab/registries/quick-push.ts';
import { EvilHost, type Liar } from './evil-host.ts';
import { MemoryCgroup } from './memory-cgroup.ts';
import { Tap, type Wait } from './tap.ts';

export const VERSIONS: readonly ContainerdVersion[] = ['1.6', '2.1', '2.4'];
/** What `make attacks` sets. Each fleet costs a core most of a minute, so not all run each time. */
const SECONDS = process.env.ATTACK_SECONDS;
export const ATTACK_MS = Number(SECONDS ?? 5) * 1_000;
/** `isRare`: left to `make attacks`. */
export const attackMissing = async (isRare = false) =>
  isRare && SECONDS === undefined ? 'by make attacks alone' : labMissing(...VERSIONS);

/**
 * Layers above and below the MiB up to which a blob is checked before its first byte, and two of
 * those above: the pull that fails on one leaves the other behind half-done.
 */
export const SIZES: readonly number[] = [2 * MIB, 400 * 1024, 1.5 * MIB];
/** A dozen pulls at once on two cores: a lookup that comes too late would be no attack. */
const FLAGS = { 'mirror-resolve-timeout': '1s' } as const;
/** On a machine that does much else a daemon was seen to take more than a minute. */
const STARTED_MS = 180_000;

export interface FleetOptions {
  /** One host for each. */
  readonly versions?: readonly ContainerdVersion[];
  /** Parallel range fetching in containerd and in the daemon, in so many bytes at once. */
  readonly layerFetchBuffer?: number;
}

/** What one host of the fleet went through. */
export interface Endured {
  readonly host: string;
  readonly wait: Wait;
  /** Of its memory cgroup, in MiB; undefined: no cgroup to be had here. */
  readonly peakMiB: number | undefined;
}

export class AttackLab {
  readonly lab: Lab;
  readonly liars: readonly EvilHost[];
  readonly #flags: Readonly<Record<string, string | boolean>>;
  readonly #taps = new Map<LabHost, Tap>();
  readonly #cgroups = new Map<LabHost, MemoryCgroup>();

  private constructor(lab: Lab, liars: readonly EvilHost[], isParallel: boolean) {
    this.lab = lab;
    this.liars = liars;
    this.#flags = { ...FLAGS, 'parallel-fetch': isParallel };
  }

  /** The fleet knows all its liars when this resolves. */
  static async create(
    liars: readonly Liar[],
    t: TestContext,
    { versions = VERSIONS, layerFetchBuffer }: FleetOptions = {},
  ): Promise<AttackLab> {
    const parallel = layerFetchBuffer ? { layerFetchBuffer, maxConcurrentDownloads: 4 } : {};
    const containerd = versions.map((version) => ({ version, cri: true, ...parallel }));
    const lab = await Lab.create({ hosts: versions.length, containerd }, t);
    const evil = await Promise.all(liars.map((liar, number) => EvilHost.start(lab, number, liar)));
    const attack = new AttackLab(lab, evil, layerFetchBuffer !== undefined);
    t.after(() => attack.#removeCgroups());
    await Promise.all(lab.hosts.map((host) => attack.#startDaemon(host)));
    const identities = liars.reduce((sum, liar) => sum + (liar.identities ?? 1), 0);
    await attack.#untilJoined(lab.hosts.length - 1 + identities);
    return attack;
  }

  async #untilJoined(peers: number): Promise<void> {
    for (const { name, spegel } of this.lab.hosts) {
      const knowsAll = async () => (await spegel.metric('spegel_peers')) >= peers;
      await waitUntil(`${name} knows ${peers} peers`, knowsAll, { timeoutMs: STARTED_MS });
    }
  }

  async #startDaemon(host: LabHost): Promise<void> {
    const { lab } = this;
    this.#taps.set(host, await Tap.start(lab, host));
    const { number } = lab.network.slot;
    const cgroup = await MemoryCgroup.make(`spegel-attack-${number}-${host.name}`);
    const others = lab.hosts.filter((other) => other !== host).map(({ address }) => address);
    await host.spegel.launch({
      containerdSocket: host.containerd.socket,
      hostsDir: host.containerd.hostsDir,
      bootstrap: [...others, ...this.liars.map(({ multiaddr }) => multiaddr)],
      flags: this.#flags,
    });
    if (cgroup !== undefined) {
      this.#cgroups.set(host, cgroup);
      await cgroup.take(host.spegel.service.pid);
    }
    await host.spegel.service.ready(() => host.spegel.isReady(), STARTED_MS);
  }

  /** An image that nobody has but the upstream, and these liars, as they say. */
  async fresh(
    repository: string,
    liars: readonly EvilHost[],
    sizes: readonly number[] = SIZES,
  ): Promise<Image> {
    const seed = repository.replaceAll('/', '-');
    const layout = await makeImage(join(this.lab.dir, seed), { seed, sizes });
    await quickPush(this.lab.upstream, layout, repository);
    await Promise.all(liars.map((liar) => liar.claim(layout)));
    return { layout, reference: `${this.lab.upstream.registry}/${repository}:${layout.tag}` };
  }

  /** What its hosts went through up to now. */
  endured(): Promise<Endured[]> {
    return Promise.all(
      this.lab.hosts.map(async (host) => {
        const peak = await this.#cgroups.get(host)?.peak();
        return {
          host: `${host.name} (${host.containerd.version})`,
          wait: (await this.#taps.get(host)?.longest()) ?? { ms: 0, what: '' },
          peakMiB: peak === undefined ? undefined : Math.round(peak / MIB),
        };
      }),
    );
  }

  async #removeCgroups(): Promise<void> {
    await this.lab.dispose();
    for (const cgroup of this.#cgroups.values()) await cgroup.remove();
  }
}

export interface Image {
  readonly layout: Layout;
  readonly reference: string;
}
