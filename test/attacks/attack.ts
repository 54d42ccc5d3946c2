/** One attack: every host pulls image after image, each of which the liars claim to have. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { LabHost } from '../../lab/fleet/lab.ts';
import { MIB } from '../../lab/images/images.ts';
import { ATTACK_MS, type AttackLab, type Endured, type Image } from './attack-lab.ts';
import type { EvilHost } from './evil-host.ts';
import { type FailedPull, Pulls } from './pulls.ts';

/**
 * So many images are claimed ahead: by the time of its pull the whole fleet has heard of an image.
 */
const AHEAD = 2;
/**
 * Each third image is pulled in two namespaces at once, and again in a third one when it is here.
 */
const EVERY = 3;
/** However slow the machine: a liar that fails every pull is to be told from one that fails one. */
const LEAST_ROUNDS = 3;
/**
 * The layers of the image that all pull at once: large enough for its slow links that hosts meet
 * while they download.
 */
const INFLIGHT_SIZES = [6 * MIB, 400 * 1024, 4 * MIB];

export interface AttackOptions {
  /** Short, in lower case: part of the images' names. */
  readonly name: string;
  readonly liars: readonly EvilHost[];
  /** Images are pulled by several namespaces, too. */
  readonly manyNamespaces?: boolean;
  /** Images that a host pulls at once, as a node does that gets many pods. Default: 1. */
  readonly atOnce?: number;
}

/** What it came to, all of it by host. */
export interface Outcome {
  readonly name: string;
  readonly pulls: readonly Pulls[];
  /** Lies that each host got. */
  readonly lies: readonly number[];
  readonly endured: readonly Endured[];
}

/** Attacks for as long as ATTACK_SECONDS says. */
export async function attack(fleet: AttackLab, options: AttackOptions): Promise<Outcome> {
  const pulls = fleet.lab.hosts.map((host) => pullOn(fleet, host, options));
  return outcomeOf(fleet, options, await Promise.all(pulls));
}

/** The same, and all hosts pull each image at once, while it is in flight. */
export async function attackInflight(fleet: AttackLab, options: AttackOptions): Promise<Outcome> {
  const { name, liars } = options;
  const pulls = fleet.lab.hosts.map((host) => new Pulls(host));
  const next = (number: number) => fleet.fresh(`${name}/all-${number}`, liars, INFLIGHT_SIZES);
  const until = performance.now() + ATTACK_MS;
  let image = await next(0);
  for (let number = 1; number <= LEAST_ROUNDS || performance.now() < until; number += 1) {
    const coming = next(number);
    await Promise.all(pulls.map((one) => one.pull(image)));
    image = await coming;
  }
  return outcomeOf(fleet, options, pulls);
}

async function outcomeOf(
  fleet: AttackLab,
  { name, liars }: AttackOptions,
  pulls: readonly Pulls[],
): Promise<Outcome> {
  const deeds = await Promise.all(liars.map((liar) => liar.deeds()));
  const lies = fleet.lab.hosts.map(({ address }) =>
    deeds.reduce((sum, { lies }) => sum + (lies[address] ?? 0), 0),
  );
  return { name, pulls, lies, endured: await fleet.endured() };
}

async function pullOn(
  fleet: AttackLab,
  host: LabHost,
  { name, liars, manyNamespaces = false, atOnce = 1 }: AttackOptions,
): Promise<Pulls> {
  const next = (number: number) => fleet.fresh(`${name}/${host.name}-${number}`, liars);
  const queue: Promise<Image>[] = [];
  for (let number = 0; number < AHEAD * atOnce; number += 1) queue.push(next(number));
  await Promise.all(queue);
  const until = performance.now() + ATTACK_MS;
  const pulls = new Pulls(host);
  for (let round = 1; round <= LEAST_ROUNDS || performance.now() < until; round += 1) {
    const images = await Promise.all(queue.splice(0, atOnce));
    for (const [index] of images.entries()) queue.push(next((round - 1 + AHEAD) * atOnce + index));
    const [first] = images;
    if (first !== undefined && manyNamespaces && round % EVERY === 1) {
      await Promise.all([pulls.pull(first, 'ctr'), pulls.pull(first, 'cri')]);
      await pulls.pull(first, 'fetch', 'later');
    } else await Promise.all(images.map((image) => pulls.pull(image)));
  }
  for (const image of await Promise.all(queue)) await pulls.pull(image);
  return pulls;
}

/**
 * The promise: no liar fails more than one pull of a host. What is pulled at the same moment fails
 * together; nothing that begins after the first failure fails. `addresses`: so many have the liars.
 */
export function assertPromise({ name, pulls, endured }: Outcome, addresses: number): void {
  for (const { failed, host } of pulls) {
    const told = () => `${name} fails more than one pull:\n${JSON.stringify(failed, null, 1)}`;
    assert.ok(momentsOf(failed) <= addresses, told());
    assert.ok(host.spegel.running, `${name}: the daemon of ${host.name} has ended`);
  }
  for (const { host, wait } of endured)
    assert.ok(wait.ms < MAX_WAIT_MS, `${host} waits ${wait.ms} ms for ${wait.what}`);
}

/** Fails where a host was told no lie at all: then nothing was tried on it. */
export function assertLiedTo({ name, pulls, lies }: Outcome): void {
  for (const [index, { host, count }] of pulls.entries())
    assert.ok((lies[index] ?? 0) > 0, `${name}: ${host.name} was told no lie in ${count} pulls`);
}

/**
 * Failures that began before an earlier one had ended are one with it. So are those of the moments
 * in which a busy machine finds out: containerd's commit, a hash, and the throwing away take 0.3 s
 * on a quiet one.
 */
function momentsOf(failed: readonly FailedPull[]): number {
  let moments = 0;
  let until = Number.NEGATIVE_INFINITY;
  for (const { beganMs, endedMs } of [...failed].sort((a, b) => a.endedMs - b.endedMs)) {
    if (beganMs < until) continue;
    moments += 1;
    until = endedMs + FINDING_OUT_MS;
  }
  return moments;
}

const FINDING_OUT_MS = 5_000;

/** A request that hangs. On two cores that a dozen pulls share an answer takes seconds. */
const MAX_WAIT_MS = 30_000;

/** Says what an attack came to, a line for each host. */
export function tell(t: TestContext, { name, pulls, lies, endured }: Outcome): void {
  for (const [index, { host, failed, count, longestMs }] of pulls.entries()) {
    const { wait, peakMiB } = endured[index] as Endured;
    t.diagnostic(
      `| ${name} | ${host.containerd.version} | ${failed.length} of ${count} failed | ` +
        `${lies[index]} lies | longest pull ${Math.round(longestMs)} ms | ` +
        `longest wait ${wait.ms} ms (${wait.what.slice(0, 60)}) | peak ${peakMiB} MiB |`,
    );
  }
}
