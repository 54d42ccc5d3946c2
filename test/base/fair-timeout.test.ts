import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { fairTimeout, withinFairly } from '../../lib/base/fair-timeout.ts';
import { block } from '../support/block.ts';

/** Both ends of a connection. */
async function connection(t: TestContext): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = connect(port, '127.0.0.1');
  t.after(() => client.destroy());
  const [accepted] = (await once(server, 'connection')) as [Socket];
  t.after(() => accepted.destroy());
  return [client, accepted];
}

test('an answer that came while this process was busy is read before the timer fires', async (t) => {
  const [client, peer] = await connection(t);
  const seen: string[] = [];
  client.on('data', () => seen.push('answer'));
  const fired = new Promise<void>((resolve) => {
    fairTimeout(20, () => {
      seen.push('silent');
      resolve();
    });
  });
  peer.write('here');
  block(100);
  await fired;
  assert.deepEqual(seen, ['answer', 'silent']);
});

test('a timer that was stopped does not fire, also when it is due', async () => {
  let fired = 0;
  const stop = fairTimeout(1, () => fired++);
  block(20);
  setTimeout(stop, 0);
  await delay(50);
  assert.equal(fired, 0);
});

test('an action has its time, and ends with the signal of its caller', async () => {
  const never = (signal: AbortSignal) => delay(60_000, signal);
  const { signal } = new AbortController();
  await assert.rejects(withinFairly(5, signal, never), /no answer in time/);
  await assert.rejects(withinFairly(60_000, AbortSignal.abort(new Error('gone')), never), /gone/);
  assert.equal(await withinFairly(60_000, signal, async () => 'answer'), 'answer');
});

test('an action that is over is not ended later', async () => {
  const { signal } = new AbortController();
  const inTime = await withinFairly(5, signal, async (given) => given);
  await delay(50);
  assert.equal(inTime.aborted, false);
});
