import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Stream } from '@libp2p/interface';
import { connect, startRawNode } from '../../lab/routing/plain-node.ts';
import type { Digest } from '../../lib/oci/digest.ts';
import { DHT_PROTOCOL, TRACKER_PROTOCOL } from '../../lib/routing/constants.ts';
import { frame } from '../../lib/routing/dht/frames.ts';
import type { ResolvedAnswer } from '../../lib/tracker/tracker-client.ts';
import { digestOf, type Host, spawnHost, startHosts, untilKnown } from './inflight-fleet.ts';

/** Slack for a machine that runs other tests at the same time. */
const SLACK_MS = 250;
const REGISTRY = 'registry.example';
const never = new AbortController().signal;

const join = (host: Host, digest: Digest, failed: string[] = []) =>
  host.client.join({ digest, registry: REGISTRY, have: 0, failed, isSmall: false }, never);

interface Timed<T> {
  readonly value: T;
  readonly ms: number;
}

async function timed<T>(promise: Promise<T>): Promise<Timed<T>> {
  const started = performance.now();
  const value = await promise;
  return { value, ms: performance.now() - started };
}

/**
 * A peer that looks as if it tracked, known to all hosts; `serve` does with its streams what it
 * likes.
 */
async function addLiar(
  t: TestContext,
  hosts: readonly Host[],
  serve: (stream: Stream) => void,
): Promise<string> {
  const liar = await startRawNode(t);
  await liar.handle(DHT_PROTOCOL, () => {});
  await liar.handle(TRACKER_PROTOCOL, serve);
  const [first] = hosts;
  const known = first?.node.router.protocol.closest('any', 99).length ?? 0;
  for (const { node } of hosts) await connect(liar, node.endpoint);
  await untilKnown(hosts, known + 1);
  return liar.peerId.toString();
}

/** Answers with these messages in turn. */
const says = (...answers: (string | Uint8Array)[]) => {
  let asked = 0;
  return (stream: Stream) => {
    stream.addEventListener('message', () => {
      const answer = answers[asked++ % answers.length] ?? '';
      if (stream.status === 'open') stream.send(frame(Buffer.from(answer)));
    });
  };
};

/** The tracker that is asked after this one. */
const second = (host: Host, digest: Digest) => host.node.router.protocol.closest(digest, 2)[1];

test('a frozen tracker costs the resolve timeout twice, then it is passed over', async (t) => {
  const [a, b] = await startHosts(t, 2);
  assert.ok(a && b);
  const frozen = await addLiar(t, [a, b], () => {});
  const times: number[] = [];
  for (let salt = 0; salt < 4; salt++) {
    const digest = digestOf(a, frozen, salt);
    const { value, ms }: Timed<ResolvedAnswer | undefined> = await timed(join(a, digest));
    assert.deepEqual(value, { role: 'lead' });
    const next = await join(b, digest);
    assert.ok(next?.role === 'follow' && next.sources[0]?.candidate.peerId === a.id);
    times.push(Math.round(ms));
    await sleep(250); // the one in the background times out, too
  }
  t.diagnostic(`join ${times.join(', ')} ms`);
  const [one = 0, two = 0, ...later] = times;
  for (const ms of [one, two]) assert.ok(ms >= 190 && ms < 200 + SLACK_MS, `${ms} ms`);
  assert.ok(Math.max(...later) < SLACK_MS && Math.min(...later) < 50, times.join());
});

test('a process that freezes or is killed is replaced by the next closest', async (t) => {
  const [a] = await startHosts(t, 1);
  assert.ok(a);
  const frozen = await spawnHost(t, [a.node.endpoint]);
  const killed = await spawnHost(t, [a.node.endpoint]);
  await untilKnown([a], 3);
  assert.deepEqual(await join(a, digestOf(a, killed.id, 1)), { role: 'lead' });
  killed.child.kill('SIGKILL');
  const dead = await timed(join(a, digestOf(a, killed.id, 2)));
  await untilKnown([a], 2); // now this node is the next one in line
  frozen.child.kill('SIGSTOP');
  const times: number[] = [];
  for (let salt = 3; salt < 7; salt++) {
    const { value, ms }: Timed<ResolvedAnswer | undefined> = await timed(
      join(a, digestOf(a, frozen.id, salt)),
    );
    assert.deepEqual(value, { role: 'lead' });
    times.push(Math.round(ms));
    await sleep(250);
  }
  frozen.child.kill('SIGCONT');
  t.diagnostic(`killed ${dead.ms.toFixed(1)} ms, frozen ${times.join(', ')} ms`);
  assert.deepEqual(dead.value, { role: 'lead' });
  assert.ok(dead.ms < SLACK_MS && Math.max(...times) < 200 + SLACK_MS);
  assert.ok((times.at(-1) ?? 0) < 50);
});

test('layers asked for at once that a pause delays are one failure', async (t) => {
  const [a] = await startHosts(t, 1);
  assert.ok(a);
  const frozen = await addLiar(t, [a], () => {});
  const digests = [0, 1, 2, 3].map((salt) => digestOf(a, frozen, salt));
  await Promise.all(digests.map((digest) => join(a, digest)));
  await sleep(250);
  const { ms } = await timed(join(a, digestOf(a, frozen, 9)));
  assert.ok(ms >= 95, 'it is asked once more');
});

test('with only frozen trackers the plain lookup has its turn in time', async (t) => {
  const [a] = await startHosts(t, 1);
  assert.ok(a);
  const frozen = [];
  for (let count = 0; count < 6; count++) frozen.push(await addLiar(t, [a], () => {}));
  let digest = digestOf(a, frozen[0] ?? '');
  for (let salt = 1; a.node.router.protocol.closest(digest, 5).includes(a.id); salt++)
    digest = digestOf(a, frozen[salt % 6] ?? '', salt);
  const { value, ms } = await timed(join(a, digest));
  assert.equal(value, undefined);
  assert.ok(ms >= 190 && ms < 200 + SLACK_MS, `${ms} ms`);
  const aborted = await timed(
    a.client.join(
      { digest, registry: REGISTRY, have: 0, failed: [], isSmall: false },
      AbortSignal.timeout(50),
    ),
  );
  assert.ok(aborted.value === undefined && aborted.ms < 50 + SLACK_MS);
});

const GARBAGE: Record<string, string | Uint8Array> = {
  'no JSON': 'lead',
  'bytes that are no text': randomBytes(100),
  'another role': '{"role":"king"}',
  'no sources': '{"role":"follow","sources":[],"depth":0}',
  'a source that is no peer id': '{"role":"follow","sources":[{"peer":"../etc","isWhole":true}]}',
  'a negative depth': '{"role":"follow","sources":[{"peer":"12D3","isWhole":true}],"depth":-1}',
  'too much': ' '.repeat(8_193),
};
for (const [name, garbage] of Object.entries(GARBAGE)) {
  test(`a tracker that answers with garbage makes the next one answer at once: ${name}`, async (t) => {
    const [a] = await startHosts(t, 1);
    assert.ok(a);
    const liar = await addLiar(t, [a], says(garbage));
    const { value, ms } = await timed(join(a, digestOf(a, liar)));
    assert.deepEqual(value, { role: 'lead' });
    assert.ok(ms < 95, `${ms} ms`);
  });
}

test('a tracker that names unknown sources is believed twice, then passed over', async (t) => {
  const [a] = await startHosts(t, 1);
  assert.ok(a);
  const named = '{"role":"follow","sources":[{"peer":"12D3KooWNobody","isWhole":true}],"depth":0}';
  const liar = await addLiar(t, [a], says(named));
  assert.equal(await join(a, digestOf(a, liar, 0)), undefined);
  assert.equal(await join(a, digestOf(a, liar, 1)), undefined);
  const digest = digestOf(a, liar, 2);
  assert.equal(second(a, digest), a.id);
  assert.deepEqual(await join(a, digest), { role: 'lead' });
});

test('a tracker whose sources all fail at once is believed twice, then passed over', async (t) => {
  const [a, b, c] = await startHosts(t, 3);
  assert.ok(a && b && c);
  const follow = ({ id }: Host) =>
    JSON.stringify({ role: 'follow', sources: [{ peer: id, isWhole: true }], depth: 0 });
  const liar = await addLiar(t, [a], says(follow(b), follow(c)));
  const roles: (string | undefined)[] = [];
  for (const salt of [0, 1, 2]) {
    const digest = digestOf(a, liar, salt);
    roles.push((await join(a, digest))?.role);
    await sleep(5);
    roles.push((await join(a, digest, [b.id]))?.role);
    // This time the second one works: then the count starts anew.
    if (salt === 0) a.client.setSource(digest, c.id);
    await sleep(5);
  }
  assert.deepEqual(roles, ['follow', 'follow', 'follow', 'follow', 'follow', 'lead']);
  assert.deepEqual(await join(a, digestOf(a, liar, 4)), { role: 'lead' });
});

test('reports go to the third tracker when the two that are told freeze during a pull', async (t) => {
  const [a] = await startHosts(t, 1);
  assert.ok(a);
  const lead = frame(Buffer.from('{"role":"lead"}'));
  let isFrozen = false;
  const freezes = (stream: Stream) =>
    stream.addEventListener('message', () => {
      if (!isFrozen) stream.send(lead);
      isFrozen = true;
    });
  const both = [await addLiar(t, [a], freezes), await addLiar(t, [a], freezes)];
  let digest = digestOf(a, both[0] ?? '');
  for (let salt = 1; a.node.router.protocol.closest(digest, 3)[2] !== a.id; salt++)
    digest = digestOf(a, both[salt % 2] ?? '', salt);
  a.progress.set(digest, { state: 'inflight', have: 10 });
  assert.deepEqual(await join(a, digest), { role: 'lead' });
  assert.equal(a.tracker.size, 0, 'the question did not get so far');
  const started = performance.now();
  while (a.tracker.size === 0 && performance.now() - started < 5_000) await sleep(10);
  const ms = performance.now() - started;
  t.diagnostic(`the third tracker knew after ${Math.round(ms)} ms`);
  // The first report after a second waits for half a second; only the third leaves the two out.
  assert.ok(ms > 1_400 && ms < 2_000 + SLACK_MS, `${ms} ms`);
});

test('a client that was stopped asks no tracker and leaves nothing behind', async (t) => {
  const [a, b] = await startHosts(t, 2);
  assert.ok(a && b);
  const digest = digestOf(a, b.id);
  a.progress.set(digest, { state: 'inflight', have: 1 });
  await join(a, digest);
  const frozen = await addLiar(t, [a], () => {});
  const asked = join(a, digestOf(a, frozen));
  await a.client.stop();
  assert.equal(await asked, undefined);
  assert.equal(a.client.size, 0);
  assert.equal(await join(a, digest), undefined);
  a.client.setSource(digest, b.id);
});
