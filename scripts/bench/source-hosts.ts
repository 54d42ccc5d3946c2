import { join } from 'node:path';
import { blobPath } from '../../lab/fleet/fleet.ts';
import { untilSettled } from '../../lab/fleet/inflight-pulls.ts';
import { Lab, type LabHost } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { startAsService } from './as-service.ts';

/** Keys that an image of one layer has: manifest, config, layer and tag. */
const KEYS = 4;
/** Fetches without Spegel: no hosts.toml, straight to the registry. */
const STRAIGHT = { hostsDir: null, plainHttp: true } as const;

/** An image of one layer that some hosts have. */
export interface HeldLayer {
  /** Of the image, named by its digest: an upstream that is away is not asked what a tag means. */
  readonly byDigest: string;
  /** Of the layer at any registry, with the query that names the upstream. */
  readonly path: string;
  /** Of the layer, in bytes. */
  readonly size: number;
}

/** What one pull took, and how much of it each holder sent. */
export interface Pulled {
  readonly seconds: number;
  /** Of what all holders' interfaces sent, in the holders' order; adds up to 1. */
  readonly shares: readonly number[];
  /** Bytes that all holders' interfaces sent, headers included. */
  readonly sent: number;
}

/** What a round gave, for an author that waits for the row. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

export const seconds = (value: number) => `${value.toFixed(2)} s`;
export const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
export const told = (pulled: Pulled) =>
  `${seconds(pulled.seconds)}, holders sent ${pulled.shares.map(percent).join(' ')}`;

/**
 * Hosts that hold layers and hosts that pull them, all with a real containerd and with a daemon as
 * the unit runs it, default options.
 */
export class SourceHosts implements AsyncDisposable {
  readonly lab: Lab;
  readonly holders: readonly LabHost[];
  readonly pullers: readonly LabHost[];
  readonly #heldBy = new Map<LabHost, number>();
  readonly #small: HeldLayer[] = [];

  private constructor(lab: Lab, holders: number) {
    this.lab = lab;
    this.holders = lab.hosts.slice(0, holders);
    this.pullers = lab.hosts.slice(holders);
  }

  static async create(holders: number, pullers = 1): Promise<SourceHosts> {
    const lab = await Lab.create({ hosts: holders + pullers });
    try {
      await startAsService(lab);
      await untilSettled(lab);
      return new SourceHosts(lab, holders);
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  /** The only one, or the first. */
  get puller(): LabHost {
    const [puller] = this.pullers;
    if (puller === undefined) throw new Error('no host pulls');
    return puller;
  }

  /** Brings a fresh image of one layer to these holders, and waits until they announce it. */
  async hold(name: string, layerMiB: number, holders = this.holders): Promise<HeldLayer> {
    const { lab } = this;
    const repository = `bench/${name}`;
    const image = await makeImage(join(lab.dir, name), { seed: name, layers: 1, layerMiB });
    const reference = await lab.upstream.push(image, repository);
    await Promise.all(holders.map(({ containerd }) => containerd.fetch(reference, STRAIGHT)));
    for (const holder of holders) {
      const keys = (this.#heldBy.get(holder) ?? 0) + KEYS;
      this.#heldBy.set(holder, keys);
      await waitUntil(
        `${holder.name} announces ${keys} keys`,
        async () => (await holder.spegel.metric('spegel_advertised_keys')) >= keys,
      );
    }
    const layer = image.manifests[0]?.layers[0];
    if (layer === undefined) throw new Error(`${name} has no layer`);
    return {
      byDigest: `${lab.upstream.registry}/${repository}@${image.digest}`,
      path: blobPath(lab, repository, layer.digest),
      size: layer.size,
    };
  }

  /** Fresh images that these holders have, one for each round. */
  async holdMany(name: string, rounds: number, layerMiB: number, holders = this.holders) {
    const layers: HeldLayer[] = [];
    for (let round = 0; round < rounds; round += 1)
      layers.push(await this.hold(`${name}-${round}`, layerMiB, holders));
    return layers;
  }

  /** Shapes the links, in tc's words: one for each holder, and one for every puller if given. */
  async shape(holders: readonly string[], pullers?: string): Promise<void> {
    const shaped = holders.map((rate, index) => this.holders[index]?.net.rate(rate));
    await Promise.all(shaped);
    if (pullers === undefined) return;
    await Promise.all(this.pullers.map((host) => host.net.rate(pullers)));
  }

  /** Every daemon compiles what it runs for the first time, and the pullers get connected. */
  async warmUp(): Promise<void> {
    this.#small.push(...(await this.holdMany('warm', 4, 4)));
    for (const puller of this.pullers) await this.#warm(puller);
  }

  /**
   * Starts the puller's daemon anew, behind warmUp(): what it learnt of its peers in a round before
   * would choose for it.
   */
  async forget(): Promise<void> {
    const { lab, puller } = this;
    await puller.spegel.stop();
    await startAsService(lab, undefined, [puller]);
    await untilSettled(lab);
    await this.#warm(puller);
  }

  async #warm(puller: LabHost): Promise<void> {
    for (const layer of this.#small) await this.pull(layer, puller);
  }

  /** One plain request from the puller to one holder, without the puller's daemon. */
  plain(layer: HeldLayer, holder = this.holders[0], puller = this.puller): Promise<Pulled> {
    return this.measure(() => get(puller, `http://${holder?.address}:5000${layer.path}`));
  }

  /** curl asks the puller's own daemon, as containerd does, and throws the bytes away. */
  pull(layer: HeldLayer, puller = this.puller): Promise<Pulled> {
    return this.measure(() => get(puller, `http://127.0.0.1:5000${layer.path}`));
  }

  /** The puller's containerd fetches the image, without unpacking it. */
  fetch(layer: HeldLayer, puller = this.puller): Promise<Pulled> {
    return this.measure(() => puller.containerd.fetch(layer.byDigest));
  }

  /** What `work` takes, and what the holders send meanwhile. */
  async measure(work: () => Promise<unknown>): Promise<Pulled> {
    const sent = () => Promise.all(this.holders.map(({ net }) => net.bytesSent()));
    const before = await sent();
    const began = performance.now();
    await work();
    const seconds = (performance.now() - began) / 1_000;
    const bytes = (await sent()).map((now, index) => now - (before[index] ?? 0));
    const all = bytes.reduce((sum, one) => sum + one, 0);
    return { seconds, shares: bytes.map((one) => one / all), sent: all };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.dispose();
  }
}

function get({ net }: LabHost, url: string): Promise<string> {
  return net.curl('--fail', '--output', '/dev/null', url);
}
