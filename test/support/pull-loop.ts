/** Pulls that never end: what a host does all day while somebody upgrades it. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../../lab/fleet/lab.ts';
import { type ImageShape, makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import type { SystemdHost } from '../../lab/systemd/systemd-host.ts';

export interface LoopEnd {
  /** Pulls that came to a good end. */
  readonly pulled: number;
  readonly failures: readonly string[];
  readonly longestMs: number;
}

/**
 * Pulls these images one after the other, again and again, each as if it had never been here: it
 * is removed with all its content after its pull.
 */
export class PullLoop {
  readonly #host: SystemdHost;
  readonly #references: readonly string[];
  readonly #ended: Promise<void>;
  readonly #failures: string[] = [];
  #pulled = 0;
  #longestMs = 0;
  #isOver = false;

  constructor(host: SystemdHost, references: readonly string[]) {
    this.#host = host;
    this.#references = references;
    this.#ended = this.#run();
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#isOver; n += 1) {
      const reference = this.#references[n % this.#references.length] ?? '';
      const began = performance.now();
      try {
        await this.#host.pull(reference);
        this.#pulled += 1;
        await this.#host.run(['ctr', 'images', 'rm', '--sync', reference]);
      } catch (error) {
        this.#failures.push(`${new Date().toISOString()} ${(error as Error).message}`);
        await sleep(100); // a host that is gone must not fill the memory with failures
      }
      this.#longestMs = Math.max(this.#longestMs, performance.now() - began);
    }
  }

  /** Waits until so many more pulls have ended. */
  async until(more: number): Promise<void> {
    const goal = this.#pulled + this.#failures.length + more;
    const isThere = () => this.#pulled + this.#failures.length >= goal;
    await waitUntil(`${more} more pulls have ended`, isThere, { timeoutMs: 60_000 });
  }

  /** Lets the pull that runs come to its end. */
  async stop(): Promise<LoopEnd> {
    this.#isOver = true;
    await this.#ended;
    const [pulled, failures] = [this.#pulled, this.#failures];
    return { pulled, failures, longestMs: Math.round(this.#longestMs) };
  }
}

/**
 * Pushes images under `<name>0`, `<name>1`, … and gives their digests' and tags' references in
 * turn.
 */
export async function pushImages(
  lab: Lab,
  name: string,
  count: number,
  shape: Omit<ImageShape, 'seed'>,
): Promise<string[]> {
  const references: string[] = [];
  for (let n = 0; n < count; n += 1) {
    const seed = `${name}${n}`;
    const image = await makeImage(join(lab.dir, seed), { seed, ...shape });
    const byTag = await lab.upstream.push(image, `loop/${seed}`);
    const byDigest = `${lab.upstream.registry}/loop/${seed}@${image.digest}`;
    references.push(n % 2 === 0 ? byDigest : byTag);
  }
  return references;
}
