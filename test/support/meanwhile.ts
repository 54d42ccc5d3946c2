/** Pulls that go on while something is broken, and beside them the same pulls without Spegel. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { quickPush } from '../../lab/registries/quick-push.ts';

/** Small, so that what is measured is finding and asking, not the link. */
const SHAPE = { layers: 2, layerBytes: 128 * 1024, gzip: false };
/** One that takes longer counts as failed: containerd itself would wait for ever. */
const PULL_TIMEOUT_MS = 120_000;
/** `ctr` takes a third of a second of a core; the rest is left to the hosts. */
const PAUSE_MS = 400;
/** Every so many turns one pull without Spegel. */
const DIRECT_EVERY = 2;

export interface Pulled {
  readonly pulls: number;
  readonly slowestMs: number;
  /** Of the same kind of image in the same time, straight from the upstream. */
  readonly slowestDirectMs: number;
}

/** Images of one shape at the upstream; each host that pulls one has it for the first time. */
export class Supply {
  readonly #lab: Lab;
  readonly #name: string;
  readonly #held: string[] = [];
  #made = 0;

  /** `name` is unique in the lab. */
  constructor(lab: Lab, name: string) {
    this.#lab = lab;
    this.#name = name;
  }

  /** The next image's reference: one that was given to a host before, else one that nobody has. */
  async take(): Promise<string> {
    return this.#held.shift() ?? (await this.fresh());
  }

  /** The next ones that are taken are held by this host. */
  async giveTo({ containerd }: LabHost, count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      const reference = await this.fresh();
      await containerd.fetch(reference);
      this.#held.push(reference);
    }
  }

  /** One that nobody has. */
  async fresh(): Promise<string> {
    const seed = `${this.#name}-${this.#made++}`;
    const image = await makeImage(join(this.#lab.dir, seed), { seed, ...SHAPE });
    await quickPush(this.#lab.upstream, image, `meanwhile/${seed}`);
    return `${this.#lab.upstream.registry}/meanwhile/${seed}:${image.tag}`;
  }
}

/**
 * Has these hosts pull until `end`: each image first by one of them, then by the next, so that it
 * comes from the upstream once and from a peer once where there is one.
 */
export class Meanwhile {
  readonly #hosts: readonly LabHost[];
  readonly #supply: Supply;
  readonly #errors: string[] = [];
  readonly #tookMs: number[] = [];
  readonly #directMs: number[] = [];
  #isOver = false;
  readonly #running: Promise<void>;

  constructor(hosts: readonly LabHost[], supply: Supply) {
    this.#hosts = hosts;
    this.#supply = supply;
    this.#running = this.#run();
  }

  /** Ends with the pull that is going on. Fails unless all of them succeeded. */
  async end(): Promise<Pulled> {
    this.#isOver = true;
    await this.#running;
    assert.deepEqual(this.#errors, [], 'pulls that failed meanwhile');
    assert.ok(this.#tookMs.length > 1, 'nothing was pulled meanwhile');
    return {
      pulls: this.#tookMs.length,
      slowestMs: Math.max(...this.#tookMs),
      slowestDirectMs: Math.max(...this.#directMs),
    };
  }

  async #run(): Promise<void> {
    for (let turn = 0; !this.#isOver; turn++) {
      const [first, second] = [this.#host(turn), this.#host(turn + 1)];
      const reference = await this.#supply.take();
      await this.#pull(first, reference, false);
      if (second !== first) await this.#pull(second, reference, false);
      if (turn % DIRECT_EVERY === 0) await this.#pull(first, await this.#supply.fresh(), true);
      await sleep(PAUSE_MS);
    }
  }

  #host(turn: number): LabHost {
    return this.#hosts[turn % this.#hosts.length] as LabHost;
  }

  async #pull({ name, containerd }: LabHost, reference: string, isDirect: boolean): Promise<void> {
    const started = performance.now();
    const direct = isDirect ? { hostsDir: null, plainHttp: true } : {};
    try {
      await containerd.fetch(reference, { timeoutMs: PULL_TIMEOUT_MS, ...direct });
      (isDirect ? this.#directMs : this.#tookMs).push(performance.now() - started);
    } catch (error) {
      this.#errors.push(`${name}${isDirect ? ', direct' : ''}: ${(error as Error).message}`);
    }
  }
}

/** For a diagnostic line: `31 pulls, slowest 0.6 s (without Spegel 0.5 s)`. */
export function told({ pulls, slowestMs, slowestDirectMs }: Pulled): string {
  return `${pulls} pulls, slowest ${seconds(slowestMs)} (without Spegel ${seconds(slowestDirectMs)})`;
}

export const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
