import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SourceAnswer } from '../../lib/tracker/assignment.ts';
import { TrackerRound } from '../../lib/tracker/tracker-round.ts';

const LEAD: SourceAnswer = { role: 'lead' };
const FOLLOW: SourceAnswer = { role: 'follow', sources: [{ peer: 's', isWhole: true }], depth: 0 };
const HEDGE_MS = 50;
/**
 * When the caller ends a round; one that ends by itself does so long before, on a busy machine,
 * too.
 */
const END_MS = 1_000;
const SOON_MS = 500;

/** Trackers by name: what each answers and after how long; undefined: it fails. */
async function ask(answers: Record<string, [SourceAnswer | undefined, number]>) {
  const trackers = Object.keys(answers).map((peer) => ({
    peer,
    isSilent: peer.startsWith('silent'),
  }));
  const asked: string[] = [];
  const round = new TrackerRound(trackers, HEDGE_MS, async (tracker) => {
    asked.push(tracker);
    const [answer, ms] = answers[tracker] ?? [undefined, 0];
    if (ms > 0) await sleep(ms, undefined, { ref: false });
    return answer;
  });
  let isEnded = false;
  const timer = setTimeout(() => {
    isEnded = true;
    round.end();
  }, END_MS);
  const started = performance.now();
  const word = await round.answer;
  const ms = performance.now() - started;
  clearTimeout(timer);
  return { said: word && `${word.tracker} ${word.answer.role}`, asked: asked.join(), ms, isEnded };
}

const FROZEN: [SourceAnswer, number] = [LEAD, 2 * END_MS];
const FAILS: [undefined, number] = [undefined, 0];
/** The rounds that nothing but the caller ends. */
const ENDED = ['or the time is over', 'nobody but frozen ones'];
const CASES: [
  string,
  Record<string, [SourceAnswer | undefined, number]>,
  string | undefined,
  string,
][] = [
  ['nobody', {}, undefined, ''],
  ['the closest alone is asked', { a: [LEAD, 5], b: [FOLLOW, 0] }, 'a lead', 'a'],
  ['one that fails is replaced at once', { a: FAILS, b: [LEAD, 0], c: FAILS }, 'b lead', 'a,b'],
  ['all fail', { a: FAILS, b: FAILS, c: FAILS }, undefined, 'a,b,c'],
  ['a hedge that knows a source counts', { a: FROZEN, b: [FOLLOW, 0] }, 'b follow', 'a,b'],
  ['unless the closer one answers, too', { a: [LEAD, 75], b: [FOLLOW, 0] }, 'a lead', 'a,b'],
  ['a hedge that knows nothing waits', { a: [FOLLOW, 90], b: [LEAD, 0] }, 'a follow', 'a,b'],
  ['until the closer one leads, too', { a: [LEAD, 90], b: [LEAD, 0] }, 'a lead', 'a,b'],
  ['or fails', { a: [undefined, 90], b: [LEAD, 0], c: [FOLLOW, 0] }, 'b lead', 'a,b'],
  ['or the time is over', { a: FROZEN, b: [LEAD, 0], c: [FOLLOW, 0] }, 'b lead', 'a,b'],
  [
    'a silent one that is back counts',
    { silent: [LEAD, 5], b: [LEAD, 0] },
    'silent lead',
    'silent,b',
  ],
  ['a silent one is hardly waited for', { silent: FROZEN, b: [LEAD, 0] }, 'b lead', 'silent,b'],
  ['nobody but a silent one that is back', { silent: [LEAD, 50] }, 'silent lead', 'silent'],
  ['nobody but frozen ones', { a: FROZEN, b: FROZEN, c: FROZEN }, undefined, 'a,b,c'],
];
for (const [name, answers, expected, asked] of CASES) {
  test(`a round: ${name}`, async () => {
    const result = await ask(answers);
    assert.equal(result.said, expected);
    assert.equal(result.asked, asked);
    assert.equal(result.isEnded, ENDED.includes(name), `${result.ms} ms`);
    if (!result.isEnded) assert.ok(result.ms < SOON_MS, `${result.ms} ms`);
  });
}
