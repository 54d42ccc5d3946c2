/** A judge of fake ingests, and what it tells its listener. */
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

export interface JudgeFixture {
  readonly root: string;
  readonly judge: IngestJudge;
  /** Calls of the listener, in order. */
  readonly told: [Digest, IngestVerdict][];
  /** Digests that the judge discarded. */
  readonly discarded: Digest[];
}

export function judgeFixture(t: TestContext, parts: Partial<IngestJudgeParts> = {}): JudgeFixture {
  const root = makeRoot(t);
  const discarded: Digest[] = [];
  const discard = async (digest: Digest) => void discarded.push(digest);
  const judge = judgeOf(t, root, { discard, ...parts });
  const told: JudgeFixture['told'] = [];
  judge.listen((digest, verdict) => told.push([digest, verdict]));
  return { root, judge, told, discarded };
}

export const right = (root: string, namespace = 'k8s.io') =>
  new FakeIngest(root, RIGHT, { namespace });
export const wrong = (root: string, namespace = 'k8s.io') =>
  new FakeIngest(root, WRONG, { digest: DIGEST, namespace });

/** Waits for the first verdict. Returns how long that took, in milliseconds. */
export async function verdict({ told }: JudgeFixture): Promise<number> {
  const began = performance.now();
  await waitUntil('there is a verdict', () => told.length > 0, { everyMs: 5 });
  return performance.now() - began;
}

/** Asserts that nothing is open and that no more calls of the listener come. */
export async function assertOver({ root, told }: JudgeFixture): Promise<void> {
  const before = [...told];
  await waitUntil('descriptors are closed', () => openBelow(root).length === 0);
  await delay(600);
  assert.deepEqual(told, before);
  assert.deepEqual(openBelow(root), []);
}

/** Returns how long `settled` waits, in milliseconds. */
export async function settles(
  { judge }: JudgeFixture,
  ms: number,
  digests = [DIGEST],
): Promise<number> {
  const began = performance.now();
  await judge.untilSettled(digests, ms);
  return performance.now() - began;
}
