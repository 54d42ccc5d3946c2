/** A judge over downloads that no containerd writes, and what it says. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { waitUntil } from '../../../lab/processes/exec.ts';
import { delay } from '../../../lib/base/abortable.ts';
import type {
  IngestJudge,
  IngestJudgeParts,
  IngestVerdict,
} from '../../../lib/containerd/ingest/ingest-judge.ts';
import { type Digest, digestOf } from '../../../lib/oci/digest.ts';
import { FakeIngest, judgeOf, makeRoot, openBelow } from './fake-ingest.ts';

export const RIGHT = randomBytes(100_000);
export const DIGEST = digestOf(RIGHT);
export const WRONG = randomBytes(100_000);
export const SIZE = RIGHT.length;

export interface Court {
  readonly root: string;
  readonly judge: IngestJudge;
  /** What the listener was told, in order. */
  readonly told: [Digest, IngestVerdict][];
  /** Digests that were to be thrown away. */
  readonly discarded: Digest[];
}

export function court(t: TestContext, parts: Partial<IngestJudgeParts> = {}): Court {
  const root = makeRoot(t);
  const discarded: Digest[] = [];
  const discard = async (digest: Digest) => void discarded.push(digest);
  const judge = judgeOf(t, root, { discard, ...parts });
  const told: Court['told'] = [];
  judge.listen((digest, verdict) => told.push([digest, verdict]));
  return { root, judge, told, discarded };
}

export const right = (root: string, namespace = 'k8s.io') =>
  new FakeIngest(root, RIGHT, { namespace });
export const wrong = (root: string, namespace = 'k8s.io') =>
  new FakeIngest(root, WRONG, { digest: DIGEST, namespace });

/** Waits for the first verdict; how long that took, in milliseconds. */
export async function verdict({ told }: Court): Promise<number> {
  const began = performance.now();
  await waitUntil('there is a verdict', () => told.length > 0, { everyMs: 5 });
  return performance.now() - began;
}

/** Nothing is open any more, and nothing more is told. */
export async function assertOver({ root, told }: Court): Promise<void> {
  const before = [...told];
  await waitUntil('descriptors are closed', () => openBelow(root).length === 0);
  await delay(600);
  assert.deepEqual(told, before);
  assert.deepEqual(openBelow(root), []);
}

/** How long it waits, in milliseconds. */
export async function settles({ judge }: Court, ms: number, digests = [DIGEST]): Promise<number> {
  const began = performance.now();
  await judge.settled(digests, ms);
  return performance.now() - began;
}
