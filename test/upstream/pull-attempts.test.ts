import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunningPull } from '../../lib/oci/running-pull.ts';
import { PullAttempts } from '../../lib/upstream/pull-attempts.ts';

const KEY = 'example.com/app:v1';
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** The wall clock when the monotonic clock is at 0. */
const EPOCH = 1_700_000_000_000;

function pull(id: string, startedAt: number): RunningPull {
  return { id, namespace: 'k8s.io', startedAt: EPOCH + startedAt };
}

function add(attempts: PullAttempts, at: number, ...running: RunningPull[]): void {
  attempts.add(KEY, at, EPOCH + at, running);
}

test('a pull without its lease has failed, one with its lease runs', () => {
  const attempts = new PullAttempts();
  add(attempts, 10, pull('a', 5));
  assert.equal(attempts.failedAttempts(KEY, 20, [pull('a', 5)]).length, 0);
  assert.equal(attempts.failedAttempts(KEY, 20, [pull('b', 15)]).length, 1);
});

test('an image event of the same name means success', () => {
  const attempts = new PullAttempts();
  add(attempts, 10, pull('a', 5));
  attempts.markSucceeded('example.com/app:v2');
  assert.equal(attempts.failedAttempts(KEY, 20, []).length, 1);
  attempts.markSucceeded(KEY);
  assert.equal(attempts.failedAttempts(KEY, 20, []).length, 0);
});

test('requests of one pull through several hosts are one attempt', () => {
  const attempts = new PullAttempts();
  const a = pull('a', 5);
  add(attempts, 10, a);
  add(attempts, 12, a);
  assert.ok(attempts.isPullBehind(KEY, EPOCH + 12, [a]));
  assert.equal(attempts.failedAttempts(KEY, 20, [a]).length, 0);
  assert.equal(attempts.failedAttempts(KEY, 30, []).length, 1);
});

test('ten containers at once: none has failed while its own pull runs', () => {
  const attempts = new PullAttempts();
  const pulls = Array.from({ length: 10 }, (_, index) => pull(`p${index}`, index));
  for (const [index] of pulls.entries()) add(attempts, index, ...pulls.slice(0, index + 1));
  assert.equal(attempts.failedAttempts(KEY, 100, pulls).length, 0);
  assert.equal(attempts.failedAttempts(KEY, 100, pulls.slice(1)).length, 1);
});

test('a request without a pull of containerd behind it is no evidence', () => {
  const attempts = new PullAttempts();
  assert.ok(!attempts.isPullBehind(KEY, EPOCH + 10, []));
  add(attempts, 10);
  assert.equal(attempts.failedAttempts(KEY, 20, []).length, 0);
  // A pull that has run for hours, and one that begins after the request.
  for (const startedAt of [-3 * 60 * MINUTE, 11]) {
    assert.ok(
      !attempts.isPullBehind(KEY, EPOCH + 10, [pull('other', startedAt)]),
      String(startedAt),
    );
  }
});

test('the lease of a killed client does not hide the failure of the next pull', () => {
  const attempts = new PullAttempts();
  const killed = pull('killed', 5);
  add(attempts, 10, killed);
  add(attempts, 20, killed, pull('b', 15));
  assert.equal(attempts.failedAttempts(KEY, 30, [killed, pull('c', 25)]).length, 1);
});

test('a pull without an answer of the upstream for 90 seconds has failed', () => {
  const attempts = new PullAttempts();
  const stuck = pull('stuck', 5);
  add(attempts, 10, stuck);
  assert.equal(attempts.failedAttempts(KEY, 89 * SECOND, [stuck]).length, 0);
  assert.equal(attempts.failedAttempts(KEY, 91 * SECOND, [stuck]).length, 1);
  attempts.markResolved('example.com/app', [stuck]);
  assert.equal(
    attempts.failedAttempts(KEY, 91 * SECOND, [stuck]).length,
    0,
    'its layers may take minutes',
  );
});

test('a slow host is asked first: the pull began half a minute before its request', () => {
  const attempts = new PullAttempts();
  add(attempts, 40 * SECOND, pull('a', 5 * SECOND));
  assert.equal(attempts.failedAttempts(KEY, 41 * SECOND, []).length, 1);
});

test('a pull that requests content by its digest has resolved its tag', () => {
  const attempts = new PullAttempts();
  const [a, b] = [pull('a', 5), pull('b', 6)];
  add(attempts, 10, a);
  assert.ok(attempts.hasUnresolved('example.com/app'));
  attempts.markResolved('example.com/ap', [a]);
  attempts.markResolved('example.com/app', [b]);
  assert.equal(attempts.failedAttempts(KEY, 20, []).length, 1);
  attempts.markResolved('example.com/app', [a]);
  assert.equal(attempts.failedAttempts(KEY, 20, []).length, 0);
  assert.ok(!attempts.hasUnresolved('example.com/app'));
  add(attempts, 30, a);
  assert.equal(
    attempts.failedAttempts(KEY, 40, []).length,
    0,
    'its lease belongs to a try already',
  );
});

test('pulls that wait for another pull of the tag have not failed', () => {
  const attempts = new PullAttempts();
  const [first, second, third] = [pull('a', 5), pull('b', 10 * SECOND), pull('c', 25 * SECOND)];
  add(attempts, 10, first);
  attempts.markResolved('example.com/app', [first]);
  add(attempts, 10 * SECOND, first, second);
  add(attempts, 25 * SECOND, first, second, third);
  assert.equal(attempts.failedAttempts(KEY, MINUTE, [first, second, third]).length, 0, 'stuck');
  assert.equal(attempts.failedAttempts(KEY, MINUTE, [first]).length, 0, 'cancelled');
  assert.equal(attempts.failedAttempts(KEY, MINUTE, []).length, 2, 'nobody downloads any more');
});

test('an attempt counts for ten minutes', () => {
  const attempts = new PullAttempts();
  add(attempts, 0, pull('a', 0));
  assert.equal(attempts.failedAttempts(KEY, 9 * MINUTE, []).length, 1);
  assert.equal(attempts.failedAttempts(KEY, 10 * MINUTE, []).length, 0);
});

test('a gap in the events forgets attempts, and keeps known failures', () => {
  const attempts = new PullAttempts();
  add(attempts, 0, pull('a', 0));
  attempts.forgetAttempts();
  assert.equal(attempts.failedAttempts(KEY, 10, []).length, 0);
  attempts.markFailed(KEY, 20, 'fails');
  attempts.forgetAttempts();
  assert.ok(attempts.failure(KEY));
});

test('events after an answer of the fleet prove nothing, others end the failure', () => {
  const attempts = new PullAttempts();
  attempts.markFailed(KEY, 0, 'fails');
  attempts.markAnswered(KEY, 10);
  attempts.markSucceeded(KEY);
  assert.ok(attempts.failure(KEY), 'after an answer of the fleet');
  add(attempts, 20, pull('a', 15));
  attempts.markAnswered(KEY, 30);
  attempts.markSucceeded(KEY);
  assert.ok(attempts.failure(KEY), 'of two pulls, one was answered by the fleet');
  add(attempts, 40, pull('b', 35));
  attempts.markSucceeded(KEY);
  assert.equal(attempts.failure(KEY), undefined, 'after a 404');
});

test('every ten minutes one request is sent upstream', () => {
  const attempts = new PullAttempts();
  attempts.markFailed(KEY, 0, 'fails');
  assert.ok(!attempts.takeRetry(KEY, 10 * MINUTE - 1));
  assert.ok(attempts.takeRetry(KEY, 10 * MINUTE));
  assert.ok(!attempts.takeRetry(KEY, 10 * MINUTE + 1));
  assert.ok(attempts.takeRetry(KEY, 20 * MINUTE));
});

test('a registry has failed if one of its tags has, for another reason than a credential', () => {
  const attempts = new PullAttempts();
  attempts.markFailed(KEY, 0, 'denies');
  assert.ok(!attempts.hasFailedFor('example.com'));
  attempts.markFailed(KEY, 0, 'fails');
  assert.ok(attempts.hasFailedFor('example.com'));
  assert.ok(!attempts.hasFailedFor('example.co'));
});

test('the number of tags is bounded', () => {
  const attempts = new PullAttempts();
  for (let index = 0; index < 3_000; index += 1) {
    attempts.add(`example.com/app:${index}`, 0, EPOCH, [pull(`p${index}`, 0)]);
  }
  assert.equal(attempts.failedAttempts('example.com/app:0', 1, []).length, 0);
  assert.equal(attempts.failedAttempts('example.com/app:2999', 1, []).length, 1);
  for (let index = 0; index < 100; index += 1) add(attempts, index, pull(`q${index}`, index));
  assert.ok(attempts.failedAttempts(KEY, 200, []).length <= 32);
});

test('pulls that wait for a download of more than ten minutes have not failed', () => {
  const attempts = new PullAttempts();
  const long = pull('long', 5);
  add(attempts, 10, long);
  attempts.markResolved('example.com/app', [long]);
  const [b, c] = [pull('b', 11 * MINUTE), pull('c', 12 * MINUTE)];
  add(attempts, 11 * MINUTE, long, b);
  assert.equal(attempts.failedAttempts(KEY, 12 * MINUTE, [long, b, c]).length, 0);
  assert.equal(attempts.failedAttempts(KEY, 12 * MINUTE, [c]).length, 1);
});
