import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RunningPull, TagTries } from '../../lib/upstream/tag-tries.ts';

const KEY = 'example.com/app:v1';
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** The wall clock, where the monotonic one says 0. */
const EPOCH = 1_700_000_000_000;

function pull(id: string, startedAt: number): RunningPull {
  return { id, namespace: 'k8s.io', startedAt: EPOCH + startedAt };
}

function add(tries: TagTries, at: number, ...running: RunningPull[]): void {
  tries.add(KEY, at, EPOCH + at, running);
}

test('a pull whose lease is gone has failed, one whose lease is there runs', () => {
  const tries = new TagTries();
  add(tries, 10, pull('a', 5));
  assert.equal(tries.failed(KEY, 20, [pull('a', 5)]).length, 0);
  assert.equal(tries.failed(KEY, 20, [pull('b', 15)]).length, 1);
});

test('an image event of that very name says that it succeeded', () => {
  const tries = new TagTries();
  add(tries, 10, pull('a', 5));
  tries.succeeded('example.com/app:v2');
  assert.equal(tries.failed(KEY, 20, []).length, 1);
  tries.succeeded(KEY);
  assert.equal(tries.failed(KEY, 20, []).length, 0);
});

test('requests of one pull by several targets are one try', () => {
  const tries = new TagTries();
  const a = pull('a', 5);
  add(tries, 10, a);
  add(tries, 12, a);
  assert.ok(tries.isBehind(KEY, EPOCH + 12, [a]));
  assert.equal(tries.failed(KEY, 20, [a]).length, 0);
  assert.equal(tries.failed(KEY, 30, []).length, 1);
});

test('ten containers at once: none has failed while its own pull runs', () => {
  const tries = new TagTries();
  const pulls = Array.from({ length: 10 }, (_, index) => pull(`p${index}`, index));
  for (const [index] of pulls.entries()) add(tries, index, ...pulls.slice(0, index + 1));
  assert.equal(tries.failed(KEY, 100, pulls).length, 0);
  assert.equal(tries.failed(KEY, 100, pulls.slice(1)).length, 1);
});

test('a request without a pull of containerd behind it is no evidence', () => {
  const tries = new TagTries();
  assert.ok(!tries.isBehind(KEY, EPOCH + 10, []));
  add(tries, 10);
  assert.equal(tries.failed(KEY, 20, []).length, 0);
  // A pull that has run for hours, and one that begins after the request.
  for (const startedAt of [-3 * 60 * MINUTE, 11]) {
    assert.ok(!tries.isBehind(KEY, EPOCH + 10, [pull('other', startedAt)]), String(startedAt));
  }
});

test('the lease that a killed client left behind does not hide the failure of the next pull', () => {
  const tries = new TagTries();
  const killed = pull('killed', 5);
  add(tries, 10, killed);
  add(tries, 20, killed, pull('b', 15));
  assert.equal(tries.failed(KEY, 30, [killed, pull('c', 25)]).length, 1);
});

test('a pull that the upstream has left without a word for 90 seconds has failed, too', () => {
  const tries = new TagTries();
  const stuck = pull('stuck', 5);
  add(tries, 10, stuck);
  assert.equal(tries.failed(KEY, 89 * SECOND, [stuck]).length, 0);
  assert.equal(tries.failed(KEY, 91 * SECOND, [stuck]).length, 1);
  tries.resolved('example.com/app', [stuck]);
  assert.equal(tries.failed(KEY, 91 * SECOND, [stuck]).length, 0, 'its layers may take minutes');
});

test('a slow target in front of us: the pull began half a minute before its request', () => {
  const tries = new TagTries();
  add(tries, 40 * SECOND, pull('a', 5 * SECOND));
  assert.equal(tries.failed(KEY, 41 * SECOND, []).length, 1);
});

test('a pull that asks for content by its digest was told what the tag means', () => {
  const tries = new TagTries();
  const [a, b] = [pull('a', 5), pull('b', 6)];
  add(tries, 10, a);
  assert.ok(tries.areOpen('example.com/app'));
  tries.resolved('example.com/ap', [a]);
  tries.resolved('example.com/app', [b]);
  assert.equal(tries.failed(KEY, 20, []).length, 1);
  tries.resolved('example.com/app', [a]);
  assert.equal(tries.failed(KEY, 20, []).length, 0);
  assert.ok(!tries.areOpen('example.com/app'));
  add(tries, 30, a);
  assert.equal(tries.failed(KEY, 40, []).length, 0, 'its lease belongs to a try already');
});

test('pulls that wait for what another pull of the tag downloads have not failed', () => {
  const tries = new TagTries();
  const [first, second, third] = [pull('a', 5), pull('b', 10 * SECOND), pull('c', 25 * SECOND)];
  add(tries, 10, first);
  tries.resolved('example.com/app', [first]);
  add(tries, 10 * SECOND, first, second);
  add(tries, 25 * SECOND, first, second, third);
  assert.equal(tries.failed(KEY, MINUTE, [first, second, third]).length, 0, 'stuck');
  assert.equal(tries.failed(KEY, MINUTE, [first]).length, 0, 'cancelled');
  assert.equal(tries.failed(KEY, MINUTE, []).length, 2, 'nobody downloads any more');
});

test('a try counts for ten minutes', () => {
  const tries = new TagTries();
  add(tries, 0, pull('a', 0));
  assert.equal(tries.failed(KEY, 9 * MINUTE, []).length, 1);
  assert.equal(tries.failed(KEY, 10 * MINUTE, []).length, 0);
});

test('a gap in the events takes the tries, and leaves the failures that are known', () => {
  const tries = new TagTries();
  add(tries, 0, pull('a', 0));
  tries.forgetTries();
  assert.equal(tries.failed(KEY, 10, []).length, 0);
  tries.fail(KEY, 20, 'fails');
  tries.forgetTries();
  assert.ok(tries.failure(KEY));
});

test('events that follow an answer of the fleet prove nothing, others end the failure', () => {
  const tries = new TagTries();
  tries.fail(KEY, 0, 'fails');
  tries.answered(KEY, 10);
  tries.succeeded(KEY);
  assert.ok(tries.failure(KEY), 'after an answer of the fleet');
  add(tries, 20, pull('a', 15));
  tries.answered(KEY, 30);
  tries.succeeded(KEY);
  assert.ok(tries.failure(KEY), 'of two pulls, one was answered by the fleet');
  add(tries, 40, pull('b', 35));
  tries.succeeded(KEY);
  assert.equal(tries.failure(KEY), undefined, 'after a 404');
});

test('every ten minutes one request is sent upstream', () => {
  const tries = new TagTries();
  tries.fail(KEY, 0, 'fails');
  assert.ok(!tries.takeRetry(KEY, 10 * MINUTE - 1));
  assert.ok(tries.takeRetry(KEY, 10 * MINUTE));
  assert.ok(!tries.takeRetry(KEY, 10 * MINUTE + 1));
  assert.ok(tries.takeRetry(KEY, 20 * MINUTE));
});

test('a registry has failed where a tag of it has, and not for want of a credential', () => {
  const tries = new TagTries();
  tries.fail(KEY, 0, 'denies');
  assert.ok(!tries.hasFailed('example.com'));
  tries.fail(KEY, 0, 'fails');
  assert.ok(tries.hasFailed('example.com'));
  assert.ok(!tries.hasFailed('example.co'));
});

test('what is remembered is bounded', () => {
  const tries = new TagTries();
  for (let index = 0; index < 3_000; index += 1) {
    tries.add(`example.com/app:${index}`, 0, EPOCH, [pull(`p${index}`, 0)]);
  }
  assert.equal(tries.failed('example.com/app:0', 1, []).length, 0);
  assert.equal(tries.failed('example.com/app:2999', 1, []).length, 1);
  for (let index = 0; index < 100; index += 1) add(tries, index, pull(`q${index}`, index));
  assert.ok(tries.failed(KEY, 200, []).length <= 32);
});

test('a download of more than ten minutes still keeps others waiting, and none of them has failed', () => {
  const tries = new TagTries();
  const long = pull('long', 5);
  add(tries, 10, long);
  tries.resolved('example.com/app', [long]);
  const [b, c] = [pull('b', 11 * MINUTE), pull('c', 12 * MINUTE)];
  add(tries, 11 * MINUTE, long, b);
  assert.equal(tries.failed(KEY, 12 * MINUTE, [long, b, c]).length, 0);
  assert.equal(tries.failed(KEY, 12 * MINUTE, [c]).length, 1);
});
