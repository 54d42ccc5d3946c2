/** Pulls of a tag by each way that containerd has, and what came of them. */
import assert from 'node:assert/strict';
import type { PullOptions } from '../../lab/containerd/containerd.ts';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import type { ContainerdVersion } from '../../lab/programs/programs.ts';
import type { RequestKind, SwitchableRegistry } from '../../lab/registries/switchable-registry.ts';

/** `ctr images pull`, `ctr content fetch`, CRI's PullImage. */
export const WAYS = ['ctr', 'fetch', 'cri'] as const;
export type Way = (typeof WAYS)[number];

/** What people and the kubelet use. */
export const BOTH: readonly Way[] = ['ctr', 'cri'];

export const TAG_VERSIONS: readonly ContainerdVersion[] = ['1.6', '1.7', '2.1', '2.4'];

export const namespaceOf = (way: Way) => (way === 'cri' ? 'k8s.io' : 'default');

/** Rejects where the pull fails. An aborted signal kills `ctr`, or cancels the call. */
export async function pullBy(
  { containerd }: LabHost,
  way: Way,
  ref: string,
  options: PullOptions = {},
): Promise<void> {
  if (way === 'cri') {
    await containerd.cri.pull(ref, options.timeoutMs, options);
    return;
  }
  // Where `ctr` fetches itself it needs what containerd has.
  const all = { ...options, env: { ...containerd.env, ...options.env } };
  await (way === 'fetch' ? containerd.fetch(ref, all) : containerd.pull(ref, all));
}

/** The digest that the tag has in that namespace; empty where there is no such image. */
export async function digestOfTag(
  { containerd }: LabHost,
  ref: string,
  namespace: string,
): Promise<string> {
  const { stdout } = await containerd.ctr(['images', 'list', `name==${ref}`], { namespace });
  return /sha256:[0-9a-f]{64}/.exec(stdout)?.[0] ?? '';
}

/** On all hosts but the holder, the first, at once; by one way after the other. */
export async function eachPuller(
  lab: Lab,
  ways: readonly Way[],
  step: (host: LabHost, way: Way) => Promise<void>,
): Promise<void> {
  await Promise.all(
    lab.hosts.slice(1).map(async (host) => {
      for (const way of ways) await step(host, way);
    }),
  );
}

/** Pulls, and fails unless the tag has that digest then. */
export async function assertPulls(
  host: LabHost,
  way: Way,
  ref: string,
  digest: string,
  options: PullOptions = { timeoutMs: 100_000 },
): Promise<void> {
  await pullBy(host, way, ref, options);
  const what = `${host.containerd.version} ${way} ${ref}`;
  assert.equal(await digestOfTag(host, ref, namespaceOf(way)), digest, what);
}

export interface CutOptions {
  readonly options?: PullOptions;
  readonly end?: () => Promise<void>;
  /** Where the registry sees containerd come from. Default: its host. */
  readonly from?: string;
}

/**
 * A pull that is ended when containerd has asked the registry for something of that kind: as a
 * person ends `ctr`, as CRI's client cancels its call, or by `end`.
 */
export async function cutPull(
  host: LabHost,
  way: Way,
  ref: string,
  registry: SwitchableRegistry,
  kind: RequestKind,
  { options = {}, end, from = host.address }: CutOptions = {},
): Promise<void> {
  const asked = async () =>
    (await registry.requests(kind)).filter(
      (one) => one.from === from && one.userAgent.startsWith('containerd/'),
    ).length;
  const before = await asked();
  const cutting = new AbortController();
  const killSignal = KILL_SIGNALS[Number(host.name.slice(1)) % 2] ?? 'SIGKILL';
  const pulling = pullBy(host, way, ref, { ...options, signal: cutting.signal, killSignal }).then(
    () => assert.fail(`${host.name} ${way} ${ref}: pulled`),
    () => {},
  );
  const isAsked = async () => (await asked()) > before;
  await waitUntil(`${host.name} ${way} asks for a ${kind} of ${ref}`, isAsked, ASKED);
  await (end?.() ?? cutting.abort());
  await pulling;
}

/** A busy machine takes its time. */
const ASKED = { timeoutMs: 60_000, everyMs: 50 };
const KILL_SIGNALS = ['SIGINT', 'SIGKILL'] as const;
