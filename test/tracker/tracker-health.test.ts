import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TrackerHealth } from '../../lib/tracker/tracker-health.ts';

test('two failures in a row make a tracker a silent one for half a minute', () => {
  const health = new TrackerHealth();
  health.wasSilent('a', 0, 200);
  assert.ok(!health.isSilent('a', 201));
  health.wasSilent('a', 300, 500);
  assert.ok(health.isSilent('a', 501));
  assert.ok(!health.isSilent('b', 501));
  assert.ok(health.isSilent('a', 30_499));
  assert.ok(!health.isSilent('a', 30_500));
  health.wasSilent('a', 30_600, 30_800);
  assert.ok(!health.isSilent('a', 30_801), 'and two more then');
  health.wasSilent('a', 30_900, 31_000);
  assert.ok(health.isSilent('a', 31_001));
  assert.ok(!health.isPassedOver('a', 31_001), 'it is asked along');
  health.answered('a');
  assert.ok(!health.isSilent('a', 31_002), 'and back at its first answer');
});

test('questions that failed together are one failure, old failures none', () => {
  const health = new TrackerHealth();
  for (let layer = 0; layer < 4; layer++) health.wasSilent('a', layer, 200 + layer);
  assert.ok(!health.isSilent('a', 210));
  health.wasSilent('a', 70_000, 70_200);
  assert.ok(!health.isSilent('a', 70_201));
});

test('an answer clears silence, a source that works clears words that failed', () => {
  const health = new TrackerHealth();
  health.wasSilent('a', 0, 1);
  health.answered('a');
  health.wasSilent('a', 2, 3);
  assert.ok(!health.isSilent('a', 4));
  health.answerFailed('b', 0, 1);
  health.answered('b');
  health.answerFailed('b', 2, 3);
  assert.ok(health.isPassedOver('b', 4), 'a liar answers promptly');
  health.answerFailed('c', 0, 1);
  health.answerWasGood('c');
  health.answerFailed('c', 2, 3);
  assert.ok(!health.isPassedOver('c', 4));
});

test('a tracker that was found dead is not waited for at once, until it answers', () => {
  const health = new TrackerHealth();
  health.foundDead('a', 100_000);
  assert.ok(health.isSilent('a', 100_001) && !health.isPassedOver('a', 100_001));
  assert.ok(!health.isSilent('a', 140_000));
  health.foundDead('a', 140_000);
  health.answered('a');
  assert.ok(!health.isSilent('a', 140_001));
});

test('it remembers no more than a thousand', () => {
  const health = new TrackerHealth();
  health.wasSilent('first', 0, 1);
  for (let at = 0; at < 1_000; at++) health.wasSilent(`t${at}`, 2, 3);
  health.wasSilent('first', 4, 5);
  assert.ok(!health.isSilent('first', 6));
});
