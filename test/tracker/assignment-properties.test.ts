import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DigestAssignment } from '../../lib/tracker/assignment.ts';

const MAX_CHILDREN = 4;
const peer = fc.integer({ min: 0, max: 11 }).map((number) => `p${number}`);
const have = fc.integer({ min: 0, max: 100 });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('ask' as const),
      peer,
      have,
      failed: fc.array(peer, { maxLength: 3 }),
      wantedRate: fc.option(fc.integer({ min: 0, max: 200 }), { nil: undefined }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('report' as const),
      peer,
      have,
      source: fc.option(peer, { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('done' as const), peer }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('gone' as const), peer }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.integer({ min: 1, max: 4000 }),
    }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Does all steps; returns which source each puller was given. */
function play(
  steps: readonly Step[],
  check: (
    asker: string,
    failed: readonly string[],
    sources: readonly string[],
    follows: Map<string, string>,
  ) => void,
) {
  const assignment = new DigestAssignment();
  const follows = new Map<string, string>();
  let now = 0;
  for (const each of steps) {
    now += 1;
    if (each.kind === 'wait') now += each.ms;
    else if (each.kind === 'done') {
      assignment.done(each.peer, now);
      follows.delete(each.peer);
    } else if (each.kind === 'gone') {
      assignment.gone(each.peer, now);
      follows.delete(each.peer);
    } else if (each.kind === 'report') {
      assignment.report({ ...each }, now);
    } else {
      const answer = assignment.ask({ ...each }, [], now);
      const sources = answer.role === 'lead' ? [] : answer.sources.map((source) => source.peer);
      if (sources[0] === undefined) follows.delete(each.peer);
      else follows.set(each.peer, sources[0]);
      check(each.peer, each.failed, sources, follows);
    }
  }
  return assignment;
}

test('no puller is sent to itself or to a source that it gave up, whatever was said before', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      play(steps, (asker, failed, sources) => {
        assert.ok(!sources.includes(asker));
        assert.ok(!sources.some((source) => failed.includes(source)));
        assert.equal(new Set(sources).size, sources.length);
        assert.ok(sources.length <= 3);
      });
    }),
    { numRuns: 300 },
  );
});

test('whose bytes only grow in number are never led in a circle', () => {
  const steps = fc.array(step, { maxLength: 80 }).map((all) => {
    const had = new Map<string, number>();
    return all.flatMap((each): Step[] => {
      if (each.kind === 'done') return [each];
      if (each.kind !== 'ask') return [];
      had.set(each.peer, Math.max(each.have, had.get(each.peer) ?? 0));
      return [{ ...each, have: had.get(each.peer) as number }];
    });
  });
  fc.assert(
    fc.property(steps, (all) => {
      play(all, (asker, _failed, _sources, follows) => {
        let at: string | undefined = asker;
        for (let hops = 0; at !== undefined; hops += 1) {
          assert.ok(hops <= follows.size, 'a circle');
          at = follows.get(at);
        }
      });
    }),
    { numRuns: 300 },
  );
});

test('no source has more children than it may have', () => {
  const steps = fc.array(step, { maxLength: 80 }).map((all) =>
    all.flatMap((each): Step[] => {
      if (each.kind === 'done') return [each];
      return each.kind === 'ask' ? [{ ...each, have: 50, failed: [] }] : [];
    }),
  );
  fc.assert(
    fc.property(steps, (all) => {
      play(all, (_asker, _failed, _sources, follows) => {
        const children = new Map<string, number>();
        for (const source of follows.values())
          children.set(source, (children.get(source) ?? 0) + 1);
        assert.ok([...children.values()].every((count) => count <= MAX_CHILDREN));
      });
    }),
    { numRuns: 300 },
  );
});

test('exactly one leads while no host has it and nothing failed', () => {
  const pullers = fc.uniqueArray(fc.integer({ min: 0, max: 200 }), {
    minLength: 1,
    maxLength: 100,
  });
  fc.assert(
    fc.property(pullers, fc.array(fc.nat(99), { maxLength: 50 }), (ids, again) => {
      const assignment = new DigestAssignment();
      const leaders = new Set<string>();
      const ask = (id: number | undefined, now: number) => {
        if (id === undefined) return;
        const answer = assignment.ask({ peer: `p${id}`, have: 0, failed: [] }, [], now);
        if (answer.role === 'lead') leaders.add(`p${id}`);
      };
      for (const id of ids) ask(id, 0);
      for (const index of again) ask(ids[index % ids.length], 10);
      assert.deepEqual([...leaders], [`p${ids[0]}`]);
    }),
    { numRuns: 200 },
  );
});

test('when sources fail one after the other, all get somewhere in the end', () => {
  const order = fc.array(fc.nat(19), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(order, (dead) => {
      const assignment = new DigestAssignment();
      const alive = new Set(Array.from({ length: 20 }, (_, i) => `p${i}`));
      const source = new Map<string, string | undefined>();
      const failed = new Map<string, string[]>();
      let now = 0;
      const ask = (name: string) => {
        const answer = assignment.ask(
          { peer: name, have: 0, failed: failed.get(name) ?? [] },
          [],
          now,
        );
        source.set(name, answer.role === 'lead' ? undefined : answer.sources[0]?.peer);
      };
      for (const name of alive) ask(name);
      for (const index of dead) {
        if (alive.size === 1) break;
        now += 2000;
        for (const name of alive) {
          assignment.report({ peer: name, have: 0, source: source.get(name) }, now);
        }
        alive.delete(`p${index}`);
        for (let isStable = false; !isStable; ) {
          isStable = true;
          for (const name of alive) {
            const from = source.get(name);
            if (from === undefined || alive.has(from)) continue;
            failed.set(name, [...(failed.get(name) ?? []), from]);
            ask(name);
            isStable = false;
          }
        }
        const leaders = [...alive].filter((name) => source.get(name) === undefined);
        assert.ok(leaders.length > 0, 'somebody leads');
        assert.ok(leaders.length <= 1, `only one leads: ${leaders}`);
      }
    }),
    { numRuns: 200 },
  );
});
