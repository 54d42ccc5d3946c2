import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type StripedAnswer, StripedAssignment } from '../../lib/tracker/striped-assignment.ts';

const STRIPES = 3;
const ALL = [0, 1, 2];
const WIDTH = { children: STRIPES, rootChildren: 1 };
const MIB = 1024 * 1024;

/** Which source each host has, by stripe. */
class Fleet {
  readonly assignment = new StripedAssignment(STRIPES, WIDTH);
  readonly sources: Map<string, string>[] = ALL.map(() => new Map());
  readonly leaders = new Set<string>();

  ask(peer: string, now: number, have = 0, stripes = ALL, failed: string[] = []): StripedAnswer {
    const haves = ALL.map(() => have);
    const answer = this.assignment.ask({ peer, have: haves, failed, stripes }, [], now);
    if (answer.role === 'lead') {
      this.leaders.add(peer);
      for (const stripe of this.sources) stripe.delete(peer);
    } else for (const { stripe, peer: source } of answer.sources) this.of(stripe).set(peer, source);
    return answer;
  }

  /** Reports, and asks again for the stripes that it is told of. */
  report(peer: string, now: number, have: number, isSlow = false): number {
    const sources = ALL.map((stripe) => this.of(stripe).get(peer));
    const report = { peer, have: ALL.map(() => have), sources, isSlow };
    const again = this.assignment.report(report, now);
    if (again.length > 0) this.ask(peer, now, have, again);
    return again.length;
  }

  of(stripe: number): Map<string, string> {
    return this.sources[stripe] as Map<string, string>;
  }

  childrenOf(peer: string): number[] {
    return this.sources.map((stripe) => [...stripe.values()].filter((of) => of === peer).length);
  }

  assertNoCircle(): void {
    for (const stripe of this.sources) {
      for (const first of stripe.keys()) {
        let at: string | undefined = first;
        for (let hops = 0; at !== undefined; hops += 1) {
          assert.ok(hops <= stripe.size, 'a circle');
          at = stripe.get(at);
        }
      }
    }
  }
}

const names = (count: number) => Array.from({ length: count }, (_, index) => `p${index}`);

function settled(count: number): Fleet {
  const fleet = new Fleet();
  for (const [index, peer] of names(count).entries()) fleet.ask(peer, index);
  for (let round = 1; round <= 4; round += 1) {
    for (const [index, peer] of names(count).entries()) {
      fleet.report(peer, round * 1000 + index, round * MIB);
    }
  }
  return fleet;
}

test('one host leads all stripes, and the others have a source in each', () => {
  const fleet = settled(40);
  assert.deepEqual([...fleet.leaders], ['p0']);
  for (const stripe of fleet.sources) assert.equal(stripe.size, 39);
});

test('after some reports no host sends more than it receives, and the leader sends one copy', () => {
  const fleet = settled(40);
  for (const peer of names(40)) {
    const children = fleet.childrenOf(peer).reduce((sum, count) => sum + count, 0);
    assert.ok(children <= STRIPES, `${peer} has ${children}`);
  }
  assert.deepEqual(fleet.childrenOf('p0'), [1, 1, 1]);
});

test('most hosts pass on in one stripe only', () => {
  const fleet = settled(40);
  const inSeveral = names(40).filter(
    (peer) => peer !== 'p0' && fleet.childrenOf(peer).filter((count) => count > 0).length > 1,
  );
  assert.ok(inSeveral.length <= STRIPES, `${inSeveral}`);
});

test('a host that says that it is slow loses its children', () => {
  const fleet = settled(40);
  const slow = names(40).find((peer) => peer !== 'p0' && Math.max(...fleet.childrenOf(peer)) > 1);
  assert.ok(slow !== undefined);
  fleet.report(slow, 6000, 5 * MIB, true);
  for (const peer of names(40)) if (peer !== slow) fleet.report(peer, 6500, 6 * MIB);
  assert.deepEqual(fleet.childrenOf(slow), [0, 0, 0]);
});

test('when the leader dies one of its children leads all stripes', () => {
  const fleet = settled(40);
  const orphans = ALL.flatMap((stripe) =>
    [...fleet.of(stripe)].filter(([, of]) => of === 'p0').map(([peer]) => ({ peer, stripe })),
  );
  assert.equal(orphans.length, STRIPES);
  for (const { peer, stripe } of orphans) {
    if (fleet.of(stripe).get(peer) === 'p0') fleet.ask(peer, 7000, 5 * MIB, [stripe], ['p0']);
  }
  assert.equal(fleet.leaders.size, 2);
  fleet.assertNoCircle();
});

test('no two hosts wait for each other in any stripe, whatever was said before', () => {
  const peer = fc.integer({ min: 0, max: 11 }).map((number) => `p${number}`);
  const step = fc.record({
    kind: fc.constantFrom('ask', 'ask', 'report', 'slow', 'leave', 'gone', 'done'),
    peer,
    stripe: fc.nat(STRIPES - 1),
    more: fc.nat(8),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const fleet = new Fleet();
      const had = new Map<string, number>();
      const over = new Set<string>();
      let now = 0;
      for (const { kind, peer: of, stripe, more } of steps) {
        now += 400;
        if (over.has(of)) continue;
        const isNew = !had.has(of);
        const have = (had.get(of) ?? 0) + more * MIB;
        had.set(of, have);
        const source = fleet.of(stripe).get(of);
        if (isNew || kind === 'ask') fleet.ask(of, now, have);
        else if (kind === 'report' || kind === 'slow') fleet.report(of, now, have, kind === 'slow');
        else if (kind === 'leave' && source !== undefined)
          fleet.ask(of, now, have, [stripe], [source]);
        else if (kind === 'gone' || kind === 'done') {
          fleet.assignment[kind](of, now);
          for (const each of fleet.sources) each.delete(of);
          over.add(of);
        }
        fleet.assertNoCircle();
      }
    }),
    { numRuns: 300 },
  );
});

test('forgets what it is not told of any more', () => {
  const fleet = settled(40);
  assert.ok(!fleet.assignment.isEmpty(5000));
  assert.ok(fleet.assignment.isEmpty(60_000));
});
