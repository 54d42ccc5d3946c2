import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DigestAssignment, type SourceAnswer } from '../../lib/tracker/assignment.ts';

/** An assignment with the words short. */
function pullers(assignment = new DigestAssignment()) {
  const ask = (peer: string, now = 0, have = 0, failed: string[] = [], providers: string[] = []) =>
    short(assignment.ask({ peer, have, failed }, providers, now));
  const report = (peer: string, now: number, have: number, source?: string) =>
    assignment.report({ peer, have, source }, now);
  return { assignment, ask, report };
}

/** 'lead', or the assigned source. */
function short(answer: SourceAnswer): string {
  return answer.role === 'lead' ? 'lead' : (answer.sources[0]?.peer as string);
}

test('the first that asks leads, the next ones follow in a chain', () => {
  const { ask } = pullers();
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((peer) => ask(peer)),
    ['lead', 'a', 'b', 'c'],
  );
});

test('depth counts the hosts before the source', () => {
  const { assignment, ask } = pullers();
  ask('a');
  ask('b');
  const answer = assignment.ask({ peer: 'c', have: 0, failed: [] }, [], 0);
  // Nobody beside it: the leader would win each race for the first byte.
  const sources = [{ peer: 'b', isWhole: false }];
  assert.deepEqual(answer, { role: 'follow', sources, depth: 1 });
});

test('the same question has the same answer', () => {
  const { ask } = pullers();
  const first = ['a', 'b', 'c'].map((peer) => ask(peer));
  assert.deepEqual(
    ['a', 'b', 'c'].map((peer) => ask(peer, 100)),
    first,
  );
});

test('a whole provider is followed, and one that the provider records name as well', () => {
  const { assignment, ask } = pullers();
  assignment.done('a', 0);
  assert.equal(ask('b'), 'a');
  const other = pullers();
  assert.equal(other.ask('b', 0, 0, [], ['x']), 'x');
  assert.equal(other.ask('x', 0, 0, [], ['x']), 'lead', 'its record is stale: it asks itself');
  assert.equal(other.ask('c', 0, 0, [], ['x']), 'b');
});

test('a leader that its child gave up on is replaced by that child, and the other children follow', () => {
  const { ask, report } = pullers();
  ask('a');
  ask('b');
  ask('c');
  report('a', 1000, 50e6);
  report('b', 1000, 40e6, 'a');
  report('c', 1000, 30e6, 'b');
  assert.equal(ask('b', 1500, 40e6, ['a']), 'lead');
  assert.equal(ask('d', 1600), 'c');
  assert.equal(ask('a', 1700, 50e6), 'b', 'the least behind of those that others get it through');
});

test('of two children of a dead leader only one leads, in any order', () => {
  for (const order of [
    ['b', 'c'],
    ['c', 'b'],
  ]) {
    const { assignment, ask } = pullers(new DigestAssignment({ maxChildren: 4, child: 0.5 }));
    assert.deepEqual(
      ['a', 'b', 'c'].map((peer) => ask(peer)),
      ['lead', 'a', 'a'],
    );
    for (const [peer, have] of [
      ['b', 40],
      ['c', 41],
    ] as const) {
      assignment.report({ peer, have, source: 'a' }, 1000);
    }
    const have = { b: 40, c: 41 } as Record<string, number>;
    const answers = order.map((peer) => ask(peer, 1100, have[peer], ['a']));
    assert.deepEqual(answers.toSorted(), order[0] === 'c' ? ['c', 'lead'] : ['c', 'lead']);
  }
});

test('a follower that has just begun to lead is not deposed by one that waited for it before', () => {
  const { ask } = pullers();
  for (const peer of ['a', 'b', 'c', 'd']) ask(peer);
  assert.equal(ask('b', 1000, 0, ['a']), 'lead');
  // It hangs on b, and all others on it.
  assert.equal(ask('c', 1010, 0, ['b']), 'lead');
  assert.equal(ask('d', 1020, 0, ['c']), 'b');
  assert.equal(ask('e', 1030), 'c', 'both lead on');
});

test('a leader that a puller sent there since gave up leads no longer', () => {
  const { ask } = pullers();
  for (const peer of ['a', 'b', 'c']) ask(peer);
  assert.equal(ask('b', 1000, 0, ['a']), 'lead');
  assert.equal(ask('d', 1100, 0, ['c']), 'b');
  assert.equal(ask('d', 3100, 0, ['c', 'b']), 'lead');
  assert.equal(ask('b', 3200, 0, ['a']), 'd');
});

test('a middle one that failed is left for one that does not descend from the asker', () => {
  const { ask } = pullers();
  for (const peer of ['a', 'b', 'c', 'd', 'e']) ask(peer);
  assert.equal(ask('c', 100, 0, ['b']), 'a');
  assert.equal(ask('d', 100, 0, ['c']), 'a', 'never its own child e');
});

test('a source that two gave up is given to no other while there is another', () => {
  const { ask } = pullers();
  assert.equal(ask('a', 0, 0, [], ['x']), 'x');
  assert.equal(ask('a', 1, 0, ['x'], ['x']), 'lead');
  ask('b', 2, 0, ['x'], ['x']);
  assert.notEqual(ask('c', 3, 0, [], ['x']), 'x');
});

test('a source that two gave up is not asked even if no other host has it', () => {
  const { assignment, ask } = pullers();
  ask('a', 0, 0, ['x'], ['x']);
  ask('b', 2, 0, ['x'], ['x']);
  assignment.gone('a', 3);
  assignment.gone('b', 3);
  assert.equal(ask('c', 3, 0, [], ['x']), 'lead');
});

test('a puller that neither asks nor reports for three seconds is forgotten; one that reports stays', () => {
  const { assignment, ask, report } = pullers();
  ask('a');
  ask('b');
  report('b', 2000, 10, 'a');
  assert.equal(ask('c', 3500), 'b', 'it is ahead, though its source is gone');
  assert.equal(ask('b', 3600, 10, ['a']), 'lead');
  assert.equal(assignment.isEmpty(9000), true);
});

test('whole ones stay for ten minutes', () => {
  const { assignment, ask } = pullers();
  assignment.done('a', 0);
  assert.equal(ask('b', 590_000), 'a');
  assert.equal(assignment.isEmpty(599_000), false);
  assert.equal(assignment.isEmpty(600_500), true);
});

test('a leader that asks again leads on, unless others that do not hang on it are ahead', () => {
  const { assignment, ask, report } = pullers();
  ask('a');
  ask('b');
  report('b', 2000, 10, 'a');
  assert.equal(ask('a', 2100, 20), 'lead');
  report('z', 2200, 30);
  assert.equal(ask('a', 2300, 20), 'z');
  assignment.done('w', 2400);
  assert.equal(ask('z', 2500, 30), 'w');
});

test('a leader that starts anew follows those that had it from there', () => {
  const { ask, report } = pullers();
  ask('a');
  ask('b');
  report('a', 1000, 60);
  report('b', 1000, 50, 'a');
  assert.equal(ask('a', 1100, 0), 'b');
  assert.equal(ask('b', 1200, 50, ['a']), 'lead');
});

test('a tracker that is new learns the state from the reports, in any order', () => {
  const { ask, report } = pullers();
  report('c', 0, 10, 'b');
  assert.equal(ask('d', 10), 'c', 'b said nothing itself yet');
  report('b', 20, 20, 'a');
  report('a', 30, 30);
  assert.equal(ask('e', 40), 'd');
  assert.equal(ask('b', 50, 20, ['a']), 'lead');
});

test('reports that would close a circle change nothing', () => {
  const { ask, report } = pullers();
  report('a', 0, 10, 'b');
  report('b', 10, 10, 'c');
  report('c', 20, 10, 'a');
  assert.equal(ask('a', 30, 10, ['b']), 'lead');
});

test('a follower that does not name its source yet is no second leader', () => {
  const { ask, report } = pullers();
  ask('a');
  ask('b');
  report('a', 1800, 5);
  report('b', 1800, 0);
  assert.equal(ask('a', 1900, 5), 'lead');
  report('b', 2000, 5);
  assert.equal(ask('a', 2100, 4), 'b', 'it grows without a source: from the upstream');
});

test('what is remembered is bounded', () => {
  const limit = 50;
  const assignment = new DigestAssignment({ maxChildren: 4, child: 8 }, limit);
  for (let i = 0; i < 1000; i += 1) assignment.done(`whole-${i}`, 0);
  for (let i = 0; i < 1000; i += 1) {
    const answer = assignment.ask({ peer: `p${i}`, have: 0, failed: [] }, [], 0);
    assert.ok(answer.role === 'lead' || answer.sources.length <= 3);
  }
  assert.ok(assignment.size <= limit);
});

test('sources that a puller makes up take little room, and none for long', () => {
  const { assignment, ask, report } = pullers();
  ask('a');
  for (let i = 0; i < 5_000; i += 1) report('liar', 2_000 + i / 100, i, `made-up-${i}`);
  assert.ok(assignment.size <= 2 + 256, `${assignment.size}`);
  assert.equal(ask('b', 2_100), 'a');
  for (let i = 0; i < 100; i += 1) report('liar', 9_000 + i, i, `new-${i}`);
  assert.ok(assignment.size <= 1 + 100, 'the old ones are forgotten');
});

test('a slow one becomes a leaf: its child is told to ask again, and gets one that is not slow', () => {
  const { assignment, ask } = pullers();
  const chain = ['a', 'b', 'c', 'd'];
  for (const peer of chain) ask(peer);
  const megabytes = (peer: string, seconds: number) =>
    ({ a: 10, b: 10, c: 1, d: 1 })[peer as 'a'] * seconds * 1e6;
  const moved: string[] = [];
  for (const seconds of [1, 2, 3]) {
    for (const [index, peer] of chain.entries()) {
      const have = megabytes(peer, seconds);
      const said = { peer, have, source: chain[index - 1] };
      if (assignment.report(said, seconds * 1000)) moved.push(peer);
    }
  }
  assert.ok(moved.length > 0 && moved.every((peer) => peer === 'd'), `${moved}`);
  assert.equal(ask('d', 3100, megabytes('d', 3)), 'b');
  assert.equal(ask('e', 3200), 'd', 'nobody hangs on c');
});
