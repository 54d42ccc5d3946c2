import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../../lab/processes/exec.ts';
import { createLogger } from '../../lib/base/log.ts';
import { SystemdService } from '../../lib/systemd/systemd-service.ts';
import { NotifyReceiver } from '../support/notify-receiver.ts';

let count = 0;

/** A part under supervision, what systemd hears of it, and what is logged. */
function supervise(t: TestContext, { watchdogMs }: { watchdogMs?: number } = {}) {
  count += 1;
  const socket = `@spegel-supervised-${process.pid}-${count}`;
  const receiver = new NotifyReceiver(socket);
  const lines: string[] = [];
  const log = createLogger('INFO', (line) => lines.push(line));
  const part = {
    isReady: false,
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    ready: () => part.isReady,
  };
  const supervised = new SystemdService({ part, log }, { socket, watchdogMs });
  t.after(async () => {
    await supervised.stop();
    receiver.close();
  });
  return { part, supervised, receiver, lines };
}

const { signal } = new AbortController();
const WAITING = 'STATUS=serving what peers have, waiting for the store of this host';

test('ready is said when the part is, and once', async (t) => {
  const { part, supervised, receiver } = supervise(t);
  await supervised.start(signal);
  await receiver.until(WAITING);
  await sleep(100);
  assert.deepEqual(receiver.read(), [WAITING]);
  part.isReady = true;
  await receiver.until('READY=1\nSTATUS=serving');
  part.isReady = false;
  await waitUntil('it waits again', () => receiver.read().at(-1) === WAITING);
  part.isReady = true;
  await receiver.until('STATUS=serving');
  assert.equal(receiver.read().filter((message) => message.includes('READY=1')).length, 1);
});

test('nothing is said before the part has started', async (t) => {
  const { part, supervised, receiver } = supervise(t);
  const started = Promise.withResolvers<void>();
  part.isReady = true;
  part.start = () => started.promise;
  const starting = supervised.start(signal);
  await sleep(50);
  assert.deepEqual(receiver.read(), []);
  started.resolve();
  await starting;
  await receiver.until('READY=1\nSTATUS=serving');
});

test('until it is ready, systemd is asked for more time', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { part, supervised, receiver } = supervise(t, { watchdogMs: 5_000 });
  await supervised.start(signal);
  t.mock.timers.tick(10_000);
  const extensions = () => receiver.read().filter((message) => /^EXTEND_/.test(message));
  assert.deepEqual(extensions(), new Array(4).fill('EXTEND_TIMEOUT_USEC=6000000'));
  part.isReady = true;
  await receiver.until('READY=1\nSTATUS=serving');
  t.mock.timers.tick(10_000);
  assert.equal(extensions().length, 4);
});

test('then it gives a sign of life four times in the time of the watchdog, also while it stops', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { part, supervised, receiver } = supervise(t, { watchdogMs: 5_000 });
  const beats = () => receiver.read().filter((message) => message === 'WATCHDOG=1').length;
  part.isReady = true;
  await supervised.start(signal);
  await receiver.until('READY=1\nSTATUS=serving');
  t.mock.timers.tick(5_000);
  assert.equal(beats(), 4);
  const drained = Promise.withResolvers<void>();
  part.stop = () => drained.promise;
  const stopping = supervised.stop();
  t.mock.timers.tick(5_000);
  assert.equal(beats(), 8);
  drained.resolve();
  await stopping;
  t.mock.timers.tick(5_000);
  assert.equal(beats(), 8);
});

test('without a watchdog there are no signs of life', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { part, supervised, receiver } = supervise(t);
  part.isReady = true;
  await supervised.start(signal);
  await receiver.until('READY=1\nSTATUS=serving');
  t.mock.timers.tick(60_000);
  assert.deepEqual(receiver.read(), ['READY=1\nSTATUS=serving']);
});

test('stopping is said before the part stops, and ready no more', async (t) => {
  const { part, supervised, receiver } = supervise(t);
  await supervised.start(signal);
  part.stop = () => {
    assert.match(receiver.read().at(-1) ?? '', /^STOPPING=1\n/);
    part.isReady = true;
    return sleep(600);
  };
  await supervised.stop();
  assert.doesNotMatch(receiver.read().join('\n'), /READY=1/);
});

test('a part that cannot start says so to the caller', async (t) => {
  const { part, supervised, receiver } = supervise(t);
  part.start = () => Promise.reject(new Error('port in use'));
  await assert.rejects(supervised.start(signal), /port in use/);
  assert.deepEqual(receiver.read(), []);
});

test('a systemd that is not heard of again is logged once, and the part lives on', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { part, supervised, receiver, lines } = supervise(t, { watchdogMs: 5_000 });
  part.isReady = true;
  await supervised.start(signal);
  await receiver.until('READY=1\nSTATUS=serving');
  receiver.close();
  t.mock.timers.tick(20_000);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /systemd was not reached/);
});

test('a socket that cannot be used is logged, and the part is started all the same', async () => {
  const lines: string[] = [];
  let isStarted = false;
  const part = {
    start: async () => {
      isStarted = true;
    },
    stop: () => Promise.resolve(),
    ready: () => true,
  };
  const log = createLogger('INFO', (line) => lines.push(line));
  const manager = { socket: 'vsock:2:1', watchdogMs: undefined };
  const supervised = new SystemdService({ part, log }, manager);
  await supervised.start(signal);
  await supervised.stop();
  assert.ok(isStarted);
  assert.match(lines.join(''), /"ERROR".*Type=exec/);
});
