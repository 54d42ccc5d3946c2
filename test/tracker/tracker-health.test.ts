import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TrackerHealth } from '../../lib/tracker/tracker-health.ts';

test('two failures in a row make a tracker a silent one for half a minute', () => {
  const trust = new TrackerHealth();
  trust.wasSilent('a', 0, 200);
  assert.ok(!trust.isSilent('a', 201));
  trust.wasSilent('a', 300, 500);
  assert.ok(trust.isSilent('a', 501));
  assert.ok(!trust.isSilent('b', 501));
  assert.ok(trust.isSilent('a', 30_499));
  assert.ok(!trust.isSilent('a', 30_500));
  trust.wasSilent('a', 30_600, 30_800);
  assert.ok(!trust.isSilent('a', 30_801), 'and two more then');
  trust.wasSilent('a', 30_900, 31_000);
  assert.ok(trust.isSilent('a', 31_001));
  assert.ok(!trust.isPassedOver('a', 31_001), 'it is asked along');
  trust.answered('a');
  assert.ok(!trust.isSilent('a', 31_002), 'and back at its first answer');
});

test('questions that failed together are one failure, old failures none', () => {
  const trust = new TrackerHealth();
  for (let layer = 0; layer < 4; layer++) trust.wasSilent('a', layer, 200 + layer);
  assert.ok(!trust.isSilent('a', 210));
  trust.wasSilent('a', 70_000, 70_200);
  assert.ok(!trust.isSilent('a', 70_201));
});

test('an answer clears silence, a source that works clears words that failed', () => {
  const trust = new TrackerHealth();
  trust.wasSilent('a', 0, 1);
  trust.answered('a');
  trust.wasSilent('a', 2, 3);
  assert.ok(!trust.isSilent('a', 4));
  trust.wordFailed('b', 0, 1);
  trust.answered('b');
  trust.wordFailed('b', 2, 3);
  assert.ok(trust.isPassedOver('b', 4), 'a liar answers promptly');
  trust.wordFailed('c', 0, 1);
  trust.wordWasKept('c');
  trust.wordFailed('c', 2, 3);
  assert.ok(!trust.isPassedOver('c', 4));
});

test('who was found dead is not waited for at once, until it answers', () => {
  const trust = new TrackerHealth();
  trust.foundDead('a', 100_000);
  assert.ok(trust.isSilent('a', 100_001) && !trust.isPassedOver('a', 100_001));
  assert.ok(!trust.isSilent('a', 140_000));
  trust.foundDead('a', 140_000);
  trust.answered('a');
  assert.ok(!trust.isSilent('a', 140_001));
});

test('it remembers no more than a thousand', () => {
  const trust = new TrackerHealth();
  trust.wasSilent('first', 0, 1);
  for (let at = 0; at < 1_000; at++) trust.wasSilent(`t${at}`, 2, 3);
  trust.wasSilent('first', 4, 5);
  assert.ok(!trust.isSilent('first', 6));
});
