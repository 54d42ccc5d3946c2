/** What is measured of parallel range fetching: the combinations, and how each is set up. */
import type { ContainerdVersion } from '../../../lab/programs/programs.ts';

export const VERSIONS: readonly ContainerdVersion[] = ['2.1', '2.4'];

export interface Links {
  /** Bandwidth of the puller's link, in tc's words. */
  readonly puller: string;
  /** Of each peer's and of the upstream's. */
  readonly source: string;
}

export const LINKS: Readonly<Record<string, Links>> = {
  '100': { puller: '100mbit', source: '100mbit' },
  '1000': { puller: '1gbit', source: '1gbit' },
  // The only one in which several sources can give more than one.
  '100-to-400': { puller: '400mbit', source: '100mbit' },
};

/** How many peers have the image; none: it comes from the upstream. */
export const SOURCES: Readonly<Record<string, number>> = { one: 1, four: 4, upstream: 0 };

export const PEERS = Math.max(...Object.values(SOURCES));

export interface Shape {
  readonly layers: number;
  readonly layerMiB: number;
}

export const IMAGES: Readonly<Record<string, Shape>> = {
  '1x256': { layers: 1, layerMiB: 256 },
  '4x64': { layers: 4, layerMiB: 64 },
};

/**
 * containerd's two options: bytes per chunk when it fetches in parallel, and requests at once in
 * all.
 */
export interface Setting {
  readonly buffer: number;
  readonly downloads: number;
}

export const SETTINGS: Readonly<Record<string, Setting>> = {
  // The chunk that Bottlerocket had, and containerd's own default of requests.
  '8x3': { buffer: 8 << 20, downloads: 3 },
  // What AWS advises for hosts with fast links.
  '16x20': { buffer: 16 << 20, downloads: 20 },
};

/**
 * `off`: containerd fetches each layer by one request; `plain`: it would fetch in chunks, and
 * Spegel has its default; `parallel`: the same with `--parallel-fetch`. With the buffer off
 * containerd asks for no range, so that `--parallel-fetch` has nothing to answer.
 */
export const WAYS = ['off', 'plain', 'parallel'] as const;
export type Way = (typeof WAYS)[number];

export interface Case {
  readonly version: ContainerdVersion;
  readonly link: string;
  readonly source: string;
  readonly image: string;
  readonly setting: string;
}

/** Left out are combinations that repeat what another one shows. */
export function isWorthIt({ link, source, setting }: Pick<Case, 'link' | 'source' | 'setting'>) {
  // Through a link that is full with one request more of them at once show nothing.
  if (link === '100') return setting === '8x3';
  // One source has the same 100 Mbit/s on either link.
  return link === '1000' || source === 'four';
}

/** Names that were asked for; an empty list means all. Throws on a name that there is not. */
export function chosen<Name extends string>(
  what: string,
  all: readonly Name[],
  asked: readonly string[],
): readonly Name[] {
  for (const name of asked) {
    if (all.some((one) => one === name)) continue;
    throw new Error(`--${what}: expected one of ${all.join(', ')}, got ${JSON.stringify(name)}`);
  }
  return asked.length === 0 ? all : all.filter((name) => asked.includes(name));
}
