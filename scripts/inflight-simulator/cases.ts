import { DigestAssignment } from '../../lib/tracker/assignment.ts';
import type { HostPlan, Outcome, Plan } from './plan.ts';
import { Simulation } from './simulation.ts';

/** Layers in MiB. */
export const IMAGES: Readonly<Record<string, readonly number[]>> = {
  '4 x 24': [24, 24, 24, 24],
  '1 x 96': [96],
  '12 x 8': Array.from({ length: 12 }, () => 8),
};

/**
 * A rule: how an assignment is made, and whether hosts do as the tracker tells them in answers to
 * reports.
 */
export interface Rule {
  readonly name: string;
  readonly isDeaf?: boolean;
  readonly newAssignment: () => DigestAssignment;
}

export const WINNER: Rule = { name: 'chosen', newAssignment: () => new DigestAssignment() };

const weighed = (name: string, maxChildren: number, child: number, isDeaf = false): Rule => ({
  name,
  isDeaf,
  newAssignment: () => new DigestAssignment({ maxChildren, child }),
});

export const LOSERS: readonly Rule[] = [
  weighed('chosen, but a held-up host stays', 2, 64, true),
  weighed('prototype: depth + 8 x children', 4, 8, true),
  weighed('chain', 2, 10_000),
  weighed('tree of 2', 2, 0.01),
  weighed('tree of 4', 4, 0.01),
];

export interface Case {
  readonly name: string;
  readonly hosts: number;
  /** Mbit/s. */
  readonly link: number;
  readonly upstream: number;
  /** Milliseconds from one start to the next; 0: all within 200 ms. */
  readonly stagger?: number;
  /** The part of the hosts that have links of a tenth. */
  readonly slow?: number;
  /** What is special about single hosts. */
  readonly with?: Readonly<Record<number, Partial<HostPlan>>>;
  readonly providers?: readonly number[];
}

export const BIG: readonly Case[] = [
  { name: '500 hosts, links 400, upstream 100', hosts: 500, link: 400, upstream: 100 },
  { name: '500 hosts, all links 100', hosts: 500, link: 100, upstream: 100 },
  {
    name: '5,000 hosts, 10 % slow, links 400, upstream 100',
    hosts: 5000,
    link: 400,
    upstream: 100,
    slow: 0.1,
  },
  {
    name: '5,000 hosts, 10 % slow, all links 100',
    hosts: 5000,
    link: 100,
    upstream: 100,
    slow: 0.1,
  },
  {
    name: '5,000 hosts, 10 % slow, one every 2 ms, links 400, upstream 100',
    hosts: 5000,
    link: 400,
    upstream: 100,
    slow: 0.1,
    stagger: 2,
  },
];

export const SMALL: readonly Case[] = [
  { name: '48 hosts, all links 100', hosts: 48, link: 100, upstream: 100 },
  { name: '8 hosts, links 400, upstream 100', hosts: 8, link: 400, upstream: 100 },
  { name: '8 hosts, all links 100', hosts: 8, link: 100, upstream: 100 },
  {
    name: '8 hosts, one every 0.5 s, all links 100',
    hosts: 8,
    link: 100,
    upstream: 100,
    stagger: 500,
  },
  {
    name: 'hot node: 100 hosts pull what one has',
    hosts: 101,
    link: 100,
    upstream: 100,
    providers: [0],
  },
  {
    name: 'slow leader, tenth of its upstream',
    hosts: 8,
    link: 100,
    upstream: 100,
    stagger: 10,
    with: { 0: { upstream: 10 } },
  },
  {
    name: 'leader dies after 4 s',
    hosts: 8,
    link: 100,
    upstream: 100,
    stagger: 10,
    with: { 0: { dies: 4000 } },
  },
  {
    name: 'fourth host dies after 4 s',
    hosts: 8,
    link: 100,
    upstream: 100,
    stagger: 10,
    with: { 3: { dies: 4000 } },
  },
];

export interface Result extends Outcome {
  /** The slowest of those with full links, against one host alone. */
  readonly slowest: number;
  readonly median: number;
}

const SEED = 7;
/** From one host to the next, milliseconds, unless told otherwise. */
export const HOP_MS = 5;
/** A host that takes longer never ends. */
export const LIMIT_MS = 90_000;

export function play(
  which: Case,
  layers: readonly number[],
  rule: Rule,
  hop = HOP_MS,
  seed = SEED,
): Result {
  const hosts = hostsOf(which, seed);
  const common = { upstream: which.upstream, layers, hop, newAssignment: rule.newAssignment };
  const single = { up: which.link, down: which.link, start: 0 };
  const [alone = 0] = new Simulation({ ...common, hosts: [single] }).run(LIMIT_MS).took;
  const plan: Plan = {
    ...common,
    hosts,
    isDeaf: rule.isDeaf ?? false,
    providers: which.providers ?? [],
  };
  return resultOf(which, hosts, new Simulation(plan).run(LIMIT_MS), alone);
}

/** `alone`: seconds that one host takes. */
export function resultOf(
  which: Case,
  hosts: readonly HostPlan[],
  outcome: Outcome,
  alone: number,
): Result {
  const times = hosts.flatMap(({ up, dies, upstream }, host) => {
    const isEqual = up === which.link && dies === undefined && upstream === undefined;
    if (!isEqual || which.providers?.includes(host)) return [];
    return [(outcome.took[host] ?? Number.POSITIVE_INFINITY) / alone];
  });
  times.sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)] ?? Number.NaN;
  return { ...outcome, slowest: times.at(-1) ?? Number.NaN, median };
}

export function hostsOf(
  { hosts, link, stagger = 0, slow = 0, with: special = {} }: Case,
  first = SEED,
): HostPlan[] {
  let seed = first;
  const random = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed / 0x80000000;
  };
  return Array.from({ length: hosts }, (_, index) => {
    const speed = random() < slow ? link / 10 : link;
    const start = stagger === 0 ? random() * 200 : index * stagger;
    return { up: speed, down: speed, start, ...special[index] };
  });
}
