/**
 * A host that pulls by CRI, the peers and the upstream it pulls from, and counters of what these
 * send.
 */
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { assertHolds, bytesOf, untilFound, untilJoined } from '../../../lab/fleet/fleet.ts';
import { Lab, type LabHost } from '../../../lab/fleet/lab.ts';
import { type ImageShape, type Layout, makeImage } from '../../../lab/images/images.ts';
import type { ContainerdVersion } from '../../../lab/programs/programs.ts';
import { messageOf } from '../../../lib/base/errors.ts';
import { cpuSeconds } from '../table.ts';
import { LINKS, PEERS, SETTINGS, type Shape, SOURCES, type Way } from './cases.ts';
import { type Counters, countersOf } from './counters.ts';

/** 256 MiB at 25 Mbit/s, twice over. */
const PULL_TIMEOUT_MS = 180_000;
/** Of a daemon on a machine that others use as well. */
const START_TIMEOUT_MS = 90_000;
const NAMESPACE = 'k8s.io';
const WARM_UPS = 3;

/** One pull, and what its sources did for it. */
export interface Pull {
  /** From the call of PullImage to its answer, in milliseconds; the layers are unpacked then. */
  readonly pullMs: number;
  /** From the call to the commit of the last layer, in milliseconds. */
  readonly fetchMs: number;
  /** What left the links of all sources, in sizes of the image. Headers: a thousandth. */
  readonly sent: number;
  /** What the upstream sent of that. */
  readonly sentByUpstream: number;
  /** Requests for blobs that the sources were sent. */
  readonly requests: number;
  /** Connections to the sources that were closed in the middle of an answer. */
  readonly aborted: number;
  /** CPU seconds of the puller's daemon and of its containerd. */
  readonly cpu: { readonly spegel: number; readonly containerd: number };
}

interface Subject {
  readonly image: Layout;
  readonly reference: string;
}

export class FetchLab implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #subjects = new Map<string, Subject>();
  /** Lines that the puller's daemon had logged before it was last started. */
  #linesBefore = 0;

  private constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** Each source has an image of this shape of its own, on as many peers as the source names. */
  static async create(version: ContainerdVersion, shape: Shape): Promise<FetchLab> {
    const containerd = [{ version, cri: true }, ...Array<'2.1'>(PEERS).fill('2.1')];
    const lab = await Lab.create({ hosts: 1 + PEERS, containerd });
    const self = new FetchLab(lab);
    try {
      // One after the other: five that start at once take few cores for longer than a start may
      // take.
      for (const host of lab.hosts) {
        await lab.startSpegel({ flags: { 'log-level': 'INFO' } }, [host]);
      }
      await untilJoined(lab.hosts, PEERS);
      await self.#seed('warm-up', { layers: 1, layerMiB: 16 }, PEERS);
      for (const [source, peers] of Object.entries(SOURCES)) await self.#seed(source, shape, peers);
      return self;
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  get #puller(): LabHost {
    return this.#lab.host(0);
  }

  get #peers(): readonly LabHost[] {
    return this.#lab.hosts.slice(1);
  }

  async #seed(
    name: string,
    shape: Pick<ImageShape, 'layers' | 'layerMiB'>,
    peers: number,
  ): Promise<void> {
    const dir = join(this.#lab.dir, name);
    const image = await makeImage(dir, { seed: name, ...shape });
    const repository = `fetch/${name}`;
    const reference = await this.#lab.upstream.push(image, repository);
    await rm(dir, { recursive: true });
    for (const { containerd } of this.#peers.slice(0, peers)) await containerd.fetch(reference);
    if (peers > 0) await untilFound(this.#lab, this.#puller, repository, image);
    this.#subjects.set(name, { image, reference });
  }

  #subject(name: string): Subject {
    const subject = this.#subjects.get(name);
    if (subject === undefined) throw new Error(`no image for ${name}`);
    return subject;
  }

  async shape(link: string): Promise<void> {
    const links = LINKS[link];
    if (links === undefined) throw new Error(`no links ${link}`);
    await this.#puller.net.rate(links.puller);
    for (const { net } of [...this.#peers, this.#lab.upstream]) await net.rate(links.source);
  }

  /** Pulls on the host that `renew` has emptied. */
  async pull(source: string): Promise<Pull> {
    const puller = this.#puller;
    const { image, reference } = this.#subject(source);
    await this.#lab.upstream.forget();
    const pids = [puller.spegel.service.pid, puller.containerd.service.pid].map(Number);
    const [before, cpuBefore] = [
      await countersOf(this.#peers, this.#lab.upstream),
      pids.map(cpuSeconds),
    ];
    const startedAt = Date.now();
    const started = performance.now();
    await puller.containerd.cri.pull(reference, PULL_TIMEOUT_MS);
    const pullMs = performance.now() - started;
    const [spegel = 0, containerd = 0] = pids.map(
      (pid, i) => cpuSeconds(pid) - (cpuBefore[i] ?? 0),
    );
    const after = await countersOf(this.#peers, this.#lab.upstream);
    await assertHolds(puller, image, NAMESPACE);
    const more = (key: keyof Counters) => after[key] - before[key];
    const bytes = bytesOf(image);
    return {
      pullMs,
      fetchMs: (await lastCommit(puller, image)) - startedAt,
      sent: (more('peersSent') + more('upstreamSent')) / bytes,
      sentByUpstream: more('upstreamSent') / bytes,
      requests: more('requests'),
      aborted: more('aborted'),
      cpu: { spegel, containerd },
    };
  }

  /** Gives the puller a containerd that has nothing and a daemon, both just started. */
  async renew(setting: string, way: Way): Promise<void> {
    const options = SETTINGS[setting];
    if (options === undefined) throw new Error(`no setting ${setting}`);
    const { spegel, containerd } = this.#puller;
    await spegel.stop();
    await containerd.stop();
    await rm(containerd.root, { recursive: true, force: true });
    await containerd.start({
      maxConcurrentDownloads: options.downloads,
      ...(way === 'off' ? {} : { layerFetchBuffer: options.buffer }),
    });
    this.#linesBefore = (await spegel.logs()).length;
    await spegel.launch({
      containerdSocket: containerd.socket,
      hostsDir: containerd.hostsDir,
      bootstrap: this.#peers.map(({ address }) => address),
      flags: { 'log-level': 'INFO', 'parallel-fetch': way === 'parallel' },
    });
    await spegel.service.ready(() => spegel.isReady(), START_TIMEOUT_MS);
    await untilJoined([this.#puller], PEERS);
    await this.#warmUp();
  }

  /**
   * A daemon that has just started compiles what it runs for the first time. This pull may fail as
   * others may.
   */
  async #warmUp(): Promise<void> {
    const { reference } = this.#subject('warm-up');
    for (let left = WARM_UPS; ; left -= 1) {
      try {
        await this.#puller.containerd.cri.pull(reference, PULL_TIMEOUT_MS);
        return;
      } catch (error) {
        process.stderr.write(
          `the pull before the measured one failed: ${await this.explain(error)}\n`,
        );
        if (left === 1) throw error;
      }
    }
  }

  /**
   * What containerd said of a pull that failed, and what the puller's daemon has logged of content
   * it could not give.
   */
  async explain(error: unknown): Promise<string> {
    const lines = (await this.#puller.spegel.logs()).slice(this.#linesBefore);
    const told = lines
      .filter(({ msg, digest }) => msg !== 'not found' || digest !== undefined)
      .filter(({ msg }) => msg === 'not found' || String(msg).startsWith('nobody left'))
      .map((line) => JSON.stringify(line));
    return [messageOf(error), ...told].join('\n  ');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab.dispose();
  }
}

/**
 * When the last layer was complete, in milliseconds since 1970: containerd sets a blob's time on
 * commit.
 */
async function lastCommit(host: LabHost, { manifests }: Layout): Promise<number> {
  const digests = manifests[0]?.layers.map(({ digest }) => digest) ?? [];
  const times = await Promise.all(
    digests.map(async (digest) => (await stat(host.containerd.blobPath(digest))).mtimeMs),
  );
  return Math.max(...times);
}
