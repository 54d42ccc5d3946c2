import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DigestAssignment } from '../../lib/tracker/assignment.ts';

const MB = 1_000_000;
/** What all but the slow one expect of a leader, in bytes per second. */
const WANTED = 20 * MB;

/**
 * A chain in which `a` leads, after three seconds of reports: all get what `a` gets from the
 * upstream.
 */
function chain({ peers = ['a', 'b', 'c', 'd'], rate = MB } = {}) {
  const assignment = new DigestAssignment();
  const sources = new Map<string, string | undefined>();
  const have = new Map<string, number>();
  const ask = (peer: string, now: number, wantedRate?: number): string => {
    const question = { peer, have: have.get(peer) ?? 0, failed: [], wantedRate };
    const answer = assignment.ask(question, [], now);
    const source = answer.role === 'lead' ? undefined : answer.sources[0]?.peer;
    sources.set(peer, source);
    return source ?? 'lead';
  };
  /** Some of them get so much more within a second, and report. Returns who is to ask again. */
  const pass = (now: number, bytes: number, some: readonly string[] = peers): string[] =>
    some.filter((peer) => {
      have.set(peer, (have.get(peer) ?? 0) + bytes);
      const said = { peer, have: have.get(peer) ?? 0, source: sources.get(peer) };
      return assignment.report(said, now);
    });
  for (const peer of peers) ask(peer, 0);
  for (const now of [1_000, 2_000, 3_000]) assert.deepEqual(pass(now, rate), []);
  return { assignment, sources, have, ask, pass };
}

test('one host takes the place of a slow leader, and no second one', () => {
  const { ask, pass } = chain();
  assert.equal(ask('b', 3_100, WANTED), 'lead');
  assert.equal(ask('c', 3_110, WANTED), 'b', 'it follows the new leader already');
  assert.equal(ask('d', 3_120, WANTED), 'c');
  for (const now of [4_700, 5_700, 6_700]) {
    assert.deepEqual(pass(now, 2 * MB), []);
    assert.equal(ask('c', now, WANTED), 'b', 'while the first one goes on, there are two');
  }
  assert.equal(ask('e', 6_800), 'd', 'those that come later follow it as well');
});

test('nobody leaves a leader that is not slow, is not known yet, or has just begun', () => {
  assert.equal(chain({ rate: WANTED }).ask('b', 3_100, WANTED), 'a', 'the cause is its own link');
  assert.equal(chain().ask('b', 3_100), 'a', 'it does not complain');
  const assignment = new DigestAssignment();
  const ask = (peer: string, now: number, wantedRate?: number) =>
    assignment.ask({ peer, have: 0, failed: [], wantedRate }, [], now).role;
  ask('a', 0);
  ask('b', 0);
  assert.equal(ask('b', 2_000, WANTED), 'follow', 'nothing is known of it');
  for (const now of [600, 1_200])
    assignment.report({ peer: 'a', have: now, source: undefined }, now);
  assert.equal(ask('b', 1_400, WANTED), 'follow', 'it has just begun');
  assert.equal(ask('b', 1_600, WANTED), 'lead');
});

test('when the last one of a chain leads, those before it are told, and get it from there', () => {
  const { ask, pass } = chain();
  assert.equal(ask('d', 3_100, WANTED), 'lead');
  assert.equal(ask('d', 3_150), 'lead', 'its containerd asks again; others are as far');
  assert.deepEqual(pass(4_600, MB), ['b', 'c'], 'neither the old leader nor the new one');
  assert.equal(ask('b', 4_700), 'd');
  assert.equal(ask('c', 4_700), 'b', 'its source has a good one by now');
  assert.deepEqual(pass(6_300, MB), []);
});

test('the better of the two leads on', () => {
  const { ask, pass } = chain();
  assert.equal(ask('b', 3_100, WANTED), 'lead');
  for (const now of [4_700, 5_700, 6_700]) {
    pass(now, MB, ['a']);
    pass(now, MB / 10, ['b', 'c', 'd']);
  }
  assert.equal(ask('c', 6_800, WANTED), 'a', 'the first one was better');
  assert.equal(ask('c', 6_900, WANTED), 'a');
  for (const now of [7_700, 8_700, 9_700]) {
    pass(now, MB, ['a', 'c', 'd']);
    pass(now, MB / 10, ['b']);
  }
  assert.equal(ask('d', 10_000, WANTED), 'c', 'still no third one');
});

test('once the first one has gone, the next slow leader is replaced; if it has all, it is the source', () => {
  for (const end of ['gone', 'done'] as const) {
    const { assignment, ask, pass } = chain();
    assert.equal(ask('b', 3_100, WANTED), 'lead');
    for (const now of [4_700, 5_700, 6_700]) pass(now, MB, ['b', 'c', 'd']);
    assignment[end]('a', 6_700);
    const source = ask('c', 6_800, WANTED);
    assert.equal(source, end === 'gone' ? 'lead' : 'a', end);
  }
});

test('what the registry gives is the second highest figure of its pullers', () => {
  const assignment = new DigestAssignment();
  const ask = (peer: string, upstreamRate?: number) => {
    const answer = assignment.ask({ peer, have: 0, failed: [], upstreamRate }, [], 0);
    return answer.role === 'follow' ? answer.usualRate : undefined;
  };
  ask('a', 5 * MB);
  assert.equal(ask('liar', 1e15), 5 * MB);
  assert.equal(ask('liar', 1e15), 5 * MB, 'said twice it is still one');
  assert.equal(ask('c'), 5 * MB);
  assert.equal(ask('d', 40 * MB), 40 * MB);
  const alone = new DigestAssignment();
  alone.ask({ peer: 'a', have: 0, failed: [], upstreamRate: MB }, [], 0);
  assert.deepEqual(alone.ask({ peer: 'b', have: 0, failed: [] }, [], 0), {
    role: 'follow',
    sources: [{ peer: 'a', isWhole: false }],
    depth: 0,
  });
});
