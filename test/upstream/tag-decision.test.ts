import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger, silentLogger } from '../../lib/base/log.ts';
import { PullAttempts, type RunningPull } from '../../lib/upstream/pull-attempts.ts';
import { PullFailureLog } from '../../lib/upstream/pull-failure-log.ts';
import type { RegistryProbe } from '../../lib/upstream/registry-probe.ts';
import { UpstreamFirst } from '../../lib/upstream/tag-decision.ts';
import type { TagProbe, TagProbeResult } from '../../lib/upstream/tag-probe.ts';
import { FakeInstruments } from '../mirror/support.ts';

const TAG = { registry: 'example.com', repository: 'app', tag: 'v1' };
const KEY = 'example.com/app:v1';
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const EPOCH = 1_700_000_000_000;

const RESULTS = {
  answers: { verdict: 'answers', reason: undefined, message: 'status 200' },
  denies: { verdict: 'denies', reason: 'unauthorized', message: 'status 401' },
  fails: { verdict: 'fails', reason: 'rate_limited', message: 'status 429' },
  silent: { verdict: 'fails', reason: 'timeout', message: 'no answer in time' },
} as const satisfies Readonly<Record<string, TagProbeResult>>;

/** A host whose containerd, upstream and clock the test moves. */
class Host {
  now = 0;
  verdict: keyof typeof RESULTS = 'answers';
  isGone = false;
  /** A probe with more time gets an answer. */
  isSlow = false;
  isFollowed = true;
  /** When the image record changed, by the wall clock. */
  changedAt: number | undefined;
  readonly running: RunningPull[] = [];
  readonly lines: string[] = [];
  readonly metrics = new FakeInstruments();
  readonly attempts = new PullAttempts();
  readonly rule = new UpstreamFirst({
    containerd: {
      runningPulls: async () => (this.isFollowed ? [...this.running] : undefined),
      imageChangedAt: async () => this.changedAt,
    },
    attempts: this.attempts,
    tagProbe: { probe: async () => RESULTS[this.verdict] } as unknown as TagProbe,
    registryProbe: {
      isGone: async () => this.isGone,
      answers: async () => this.isSlow,
    } as unknown as RegistryProbe,
    failures: new PullFailureLog({
      log: createLogger('WARN', (line) => this.lines.push(line)),
      instruments: this.metrics.instruments,
    }),
    log: silentLogger,
    clock: { monotonic: () => this.now, wall: () => EPOCH + this.now },
  });
  #pulls = 0;

  /** What the metric counts. */
  get failures(): number {
    const labels = JSON.stringify({ registry: 'example.com', reason: 'rate_limited' });
    return this.metrics.counts.get(`upstreamFailures ${labels}`) ?? 0;
  }

  /** A pull begins and asks for the tag; it goes on until `end`. */
  async ask({ fleetHasIt = true, isFromContainerd = true, missesFirst = false } = {}) {
    this.#pulls += 1;
    const pull = { id: `p${this.#pulls}`, namespace: 'k8s.io', startedAt: EPOCH + this.now };
    if (isFromContainerd) this.running.push(pull);
    this.now += 5;
    const { mayAnswer, recordAnswer } = this.rule.decide(TAG, isFromContainerd);
    // The fleet may say that it has not got the tag before it is known whether it is asked for it.
    if (missesFirst) await recordAnswer('miss');
    const isAnswered = (await mayAnswer) && fleetHasIt && !missesFirst;
    if (!missesFirst) await recordAnswer(isAnswered ? 'tag' : 'miss');
    const end = (outcome: 'done' | 'failed') => {
      if (outcome === 'done') this.attempts.markSucceeded(KEY);
      if (isFromContainerd) this.running.splice(this.running.indexOf(pull), 1);
      this.now += 100;
    };
    return { isAnswered, end };
  }

  /** A pull that is over when its answer is there: the upstream's failure, or the fleet's tag. */
  async pull(options = {}): Promise<boolean> {
    const { isAnswered, end } = await this.ask(options);
    end(isAnswered ? 'done' : 'failed');
    return isAnswered;
  }
}

test('while pulls succeed the upstream is asked each time', async () => {
  const host = new Host();
  host.verdict = 'fails';
  for (let count = 0; count < 5; count += 1) {
    const { isAnswered, end } = await host.ask();
    assert.equal(isAnswered, false);
    end('done');
  }
  assert.deepEqual(host.lines, []);
});

test('the second try gets the tag when the upstream has failed the first', async () => {
  const host = new Host();
  host.verdict = 'fails';
  assert.deepEqual([await host.pull(), await host.pull(), await host.pull()], [false, true, true]);
  assert.equal(host.lines.length, 1);
  assert.match(
    host.lines[0] ?? '',
    /"tag":"app:v1".*rate_limited.*status 429.*"answeredByFleet":true/,
  );
  assert.equal(host.failures, 1);
});

test('somebody cancelled: the upstream answers us, so it is asked', async () => {
  const host = new Host();
  assert.deepEqual([await host.pull(), await host.pull()], [false, false]);
  // What was cancelled is no evidence in an outage that begins later.
  host.verdict = 'fails';
  assert.deepEqual([await host.pull(), await host.pull()], [true, true]);
  assert.equal(host.lines.length, 1);
});

test('a pull that still runs has not failed', async () => {
  const host = new Host();
  host.verdict = 'fails';
  const slow = await host.ask();
  await host.rule.markResolved('example.com', 'app');
  host.now += 9 * MINUTE;
  const other = await host.ask();
  assert.equal(other.isAnswered, false);
  slow.end('done');
  other.end('done');
  assert.equal((await host.ask()).isAnswered, false);
});

test('a pull that the upstream told what the tag means has not failed there, however it ends', async () => {
  const host = new Host();
  host.verdict = 'fails';
  for (let count = 0; count < 3; count += 1) {
    const { isAnswered, end } = await host.ask();
    assert.equal(isAnswered, false);
    await host.rule.markResolved('example.com', 'app');
    end('failed');
  }
});

test('a pull that ended within seconds was cancelled, where our own request is only too short', async () => {
  const host = new Host();
  host.verdict = 'silent';
  assert.deepEqual([await host.pull(), await host.pull()], [false, false]);
  assert.deepEqual(host.lines, []);
  host.now += 10 * SECOND;
  host.isSlow = true;
  assert.equal(await host.pull(), false, 'a registry that is slow is there');
  host.isSlow = false;
  host.now += 10 * SECOND;
  assert.equal(await host.pull(), true);
  host.isSlow = true;
  assert.equal(await host.pull(), false, 'it answers again');
});

test('wrong credentials are not healed by an old tag: two failed attempts, ten seconds apart', async () => {
  const host = new Host();
  host.verdict = 'denies';
  assert.deepEqual(
    [await host.pull(), await host.pull(), await host.pull()],
    [false, false, false],
  );
  host.now += 10 * SECOND;
  assert.equal(await host.pull(), false, 'the second that counts');
  assert.equal(await host.pull(), true);
  // The right credential may be in the next pull: it goes upstream, and only what fails is
  // answered.
  const right = await host.ask();
  assert.equal(right.isAnswered, false);
  right.end('done');
  assert.equal(await host.pull(), false, 'it was the right one: all begins anew');
});

test('it ends when our own probe is better than it was', async () => {
  for (const [failed, better] of [
    ['fails', 'denies'],
    ['fails', 'answers'],
    ['denies', 'answers'],
  ] as const) {
    const host = new Host();
    host.verdict = failed;
    for (let count = 0; count < 4; count += 1) {
      await host.pull();
      host.now += 10 * SECOND;
    }
    assert.equal(await host.pull(), true, failed);
    host.verdict = better;
    assert.equal(await host.pull(), false, `${failed} -> ${better}`);
  }
});

test('every ten minutes the upstream is tried all the same, by one request', async () => {
  const host = new Host();
  host.verdict = 'fails';
  await host.pull();
  await host.pull();
  host.now += 10 * MINUTE;
  assert.deepEqual([await host.pull(), await host.pull(), await host.pull()], [false, true, true]);
  assert.equal(host.failures, 2);
  assert.equal(host.lines.length, 1, 'one a minute');
  host.now += 10 * MINUTE;
  const { isAnswered, end } = await host.ask();
  assert.equal(isAnswered, false);
  end('done');
  assert.equal(
    (await host.ask()).isAnswered,
    false,
    'the pull went well: the upstream decides again',
  );
});

test('the fleet has not got the tag either: what the upstream said is told', async () => {
  const host = new Host();
  host.verdict = 'fails';
  await host.pull({ fleetHasIt: false });
  await host.pull({ fleetHasIt: false });
  assert.match(host.lines[0] ?? '', /"answeredByFleet":false/);
  // And when the upstream is well again, the pull that it serves ends it.
  const { end } = await host.ask({ fleetHasIt: false });
  end('done');
  assert.equal((await host.ask()).isAnswered, false);
});

test('a fleet that has not got the tag says so before the decision: the failure is told all the same', async () => {
  const host = new Host();
  host.verdict = 'fails';
  for (let count = 0; count < 3; count += 1) await host.pull({ missesFirst: true });
  assert.match(host.lines[0] ?? '', /"answeredByFleet":false/);
  assert.equal(host.failures, 2);
});

test('somebody else than containerd is no evidence, and gets nothing by the evidence of others', async () => {
  const host = new Host();
  host.verdict = 'fails';
  for (let count = 0; count < 5; count += 1) {
    assert.equal(await host.pull({ isFromContainerd: false }), false);
  }
  await host.pull();
  await host.pull();
  assert.equal(await host.pull({ isFromContainerd: false }), false);
  host.isGone = true;
  assert.equal(await host.pull({ isFromContainerd: false }), true);
});

test('without the events of containerd there is no evidence', async () => {
  const host = new Host();
  host.verdict = 'fails';
  host.isFollowed = false;
  assert.deepEqual([await host.pull(), await host.pull()], [false, false]);
  host.isFollowed = true;
  assert.equal(await host.pull(), false);
  host.attempts.forgetAttempts();
  assert.equal(await host.pull(), false, 'a gap in the events');
});

test('an event that is late does not make a failure of a success', async () => {
  const host = new Host();
  host.verdict = 'fails';
  const { end } = await host.ask();
  host.changedAt = EPOCH + host.now + 50;
  end('failed');
  assert.equal(await host.pull(), false);
});

test('a registry of this very host is another one elsewhere: no peer says what its tags mean', async () => {
  const host = new Host();
  host.verdict = 'fails';
  host.isGone = true;
  for (const registry of ['localhost:5000', '127.0.0.1:5000', '[::1]:5000']) {
    assert.equal(await host.rule.decide({ ...TAG, registry }, true).mayAnswer, false, registry);
  }
});

test('a probe that finds the registry gone saves the first try, unless our own request does better', async () => {
  const host = new Host();
  host.isGone = true;
  for (const verdict of ['answers', 'denies'] as const) {
    host.verdict = verdict;
    const { isAnswered, end } = await host.ask();
    assert.equal(isAnswered, false);
    end('done');
  }
  host.verdict = 'fails';
  assert.deepEqual([await host.pull(), await host.pull()], [true, true]);
  host.isGone = false;
  assert.equal(await host.pull(), false);
});
