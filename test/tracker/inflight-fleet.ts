import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { silentLogger } from '../../lib/base/log.ts';
import type { Digest } from '../../lib/oci/digest.ts';
import { DigestAssignment } from '../../lib/tracker/assignment.ts';
import type { PullProgress } from '../../lib/tracker/pull-progress.ts';
import { Tracker } from '../../lib/tracker/tracker.ts';
import { TrackerClient } from '../../lib/tracker/tracker-client.ts';
import {
  type Cleanup,
  type NodeProcess,
  startNode,
  type TestNode,
  until,
} from '../routing/libp2p/fleet.ts';

export const INFLIGHT_WAIT_MS = 1_000;

/** A host of a fleet that shares what it pulls; how far it is, the test says. */
export interface Host {
  readonly node: TestNode;
  readonly id: string;
  readonly tracker: Tracker;
  readonly client: TrackerClient;
  readonly progress: Map<Digest, PullProgress>;
  stop(): Promise<void>;
}

export async function startHost(t: Cleanup, peers: readonly string[] = []): Promise<Host> {
  const node = await startNode(t, { peers, answer: (...asked) => tracker.answer(...asked) });
  const { protocol } = node.router;
  const tracker = new Tracker({ protocol, newAssignment: () => new DigestAssignment() });
  const progress = new Map<Digest, PullProgress>();
  const client = new TrackerClient(
    {
      log: silentLogger,
      protocol,
      tracker,
      progress: async (digest) => progress.get(digest) ?? { state: 'none' },
    },
    { resolveTimeoutMs: 200, inflightWaitMs: INFLIGHT_WAIT_MS, starvedWaitMs: INFLIGHT_WAIT_MS },
  );
  const { signal } = new AbortController();
  await tracker.start(signal);
  await client.start(signal);
  const stop = async () => {
    await client.stop();
    await tracker.stop();
    await node.stop();
  };
  t.after(stop);
  return { node, id: node.router.peerId, tracker, client, progress, stop };
}

/** `count` hosts that all know each other as speakers. */
export async function startHosts(t: Cleanup, count: number): Promise<Host[]> {
  const first = await startHost(t);
  const others = await Promise.all(
    Array.from({ length: count - 1 }, () => startHost(t, [first.node.endpoint])),
  );
  const hosts = [first, ...others];
  await untilKnown(hosts, count);
  return hosts;
}

/** Starts a host in a process of its own, which ends with the test. */
export async function spawnHost(t: Cleanup, peers: readonly string[]): Promise<NodeProcess> {
  const script = new URL('./host-process.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, ...peers], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => void child.kill('SIGKILL'));
  const [line] = await once(child.stdout, 'data');
  return { child, ...JSON.parse(String(line)) };
}

/** Waits until every host sees `count` speakers. */
export async function untilKnown(hosts: readonly Host[], count: number): Promise<void> {
  const speakers = ({ node }: Host) => node.router.protocol.closest('any', 99).length;
  await until(() => hosts.every((host) => speakers(host) === count));
}

/**
 * A digest that this peer is the tracker of, as these hosts see it; a different one for each
 * `salt`.
 */
export function digestOf(host: Host, tracker: string, salt = 0): Digest {
  for (let seed = salt * 10_000; ; seed++) {
    const digest: Digest = `sha256:${seed.toString(16).padStart(64, '0')}`;
    if (host.node.router.protocol.closest(digest, 1)[0] === tracker) return digest;
  }
}
