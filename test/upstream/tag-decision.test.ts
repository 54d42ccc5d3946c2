import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger, silentLogger } from '../../lib/base/log.ts';
import type { RunningPull } from '../../lib/oci/running-pull.ts';
import { PullAttempts } from '../../lib/upstream/pull-attempts.ts';
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

/** A host on which the test controls containerd, the upstream and the clock. */
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

  /** The value of the metric. */
  get failures(): number {
    const labels = JSON.stringify({ registry: 'example.com', reason: 'rate_limited' });
    return this.metrics.counts.get(`upstreamFailures ${labels}`) ?? 0;
  }

  /** Begins a pull that asks for the tag. It runs until `end`. */
  async ask({ fleetHasIt = true, isFromContainerd = true, missesFirst = false } = {}) {
    this.#pulls += 1;
    const pull = { id: `p${this.#pulls}`, namespace: 'k8s.io', startedAt: EPOCH + this.now };
    if (isFromContainerd) this.running.push(pull);
    this.now += 5;
    const { mayAnswer, recordAnswer } = this.rule.decide(TAG, isFromContainerd);
    // The fleet may answer that it does not have the tag before the decision.
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

  /** A pull that ends with its answer: a failure of the upstream, or the tag of the fleet. */
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

test('the second attempt gets the tag from the fleet after the upstream failed the first', async () => {
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

test('after a cancelled pull the upstream is asked, because it answers the own probe', async () => {
  const host = new Host();
  assert.deepEqual([await host.pull(), await host.pull()], [false, false]);
  // A cancelled pull is no evidence in an outage that begins later.
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

test('a pull with a resolved tag has not failed upstream, however it ends', async () => {
  const host = new Host();
  host.verdict = 'fails';
  for (let count = 0; count < 3; count += 1) {
    const { isAnswered, end } = await host.ask();
    assert.equal(isAnswered, false);
    await host.rule.markResolved('example.com', 'app');
    end('failed');
  }
});

test('a pull that ended within seconds was cancelled, if the own probe timed out', async () => {
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

test('a wrong credential only gets an old tag after two failed attempts, ten seconds apart', async () => {
  const host = new Host();
  host.verdict = 'denies';
  assert.deepEqual(
    [await host.pull(), await host.pull(), await host.pull()],
    [false, false, false],
  );
  host.now += 10 * SECOND;
  assert.equal(await host.pull(), false, 'the second that counts');
  assert.equal(await host.pull(), true);
  // The next pull may have the right credential: it goes upstream. Only after it fails the fleet
  // answers.
  const right = await host.ask();
  assert.equal(right.isAnswered, false);
  right.end('done');
  assert.equal(await host.pull(), false, 'it was the right one: all begins anew');
});

test('the failure ends when the own probe gets a better result', async () => {
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

test('every ten minutes one request goes upstream', async () => {
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

test('if the fleet does not have the tag either, the failure of the upstream is logged', async () => {
  const host = new Host();
  host.verdict = 'fails';
  await host.pull({ fleetHasIt: false });
  await host.pull({ fleetHasIt: false });
  assert.match(host.lines[0] ?? '', /"answeredByFleet":false/);
  // When the upstream works again, a pull that it serves ends the failure.
  const { end } = await host.ask({ fleetHasIt: false });
  end('done');
  assert.equal((await host.ask()).isAnswered, false);
});

test('the failure is logged, also if the fleet answers before the decision', async () => {
  const host = new Host();
  host.verdict = 'fails';
  for (let count = 0; count < 3; count += 1) await host.pull({ missesFirst: true });
  assert.match(host.lines[0] ?? '', /"answeredByFleet":false/);
  assert.equal(host.failures, 2);
});

test('a request of another client is no evidence, and does not get a tag through that of others', async () => {
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

test('a late event does not turn a success into a failure', async () => {
  const host = new Host();
  host.verdict = 'fails';
  const { end } = await host.ask();
  host.changedAt = EPOCH + host.now + 50;
  end('failed');
  assert.equal(await host.pull(), false);
});

test('a registry on localhost is another one on each host: peers do not answer its tags', async () => {
  const host = new Host();
  host.verdict = 'fails';
  host.isGone = true;
  for (const registry of ['localhost:5000', '127.0.0.1:5000', '[::1]:5000']) {
    assert.equal(await host.rule.decide({ ...TAG, registry }, true).mayAnswer, false, registry);
  }
});

test('if the registry is gone the fleet answers the first attempt, unless the probe of the tag does better', async () => {
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
