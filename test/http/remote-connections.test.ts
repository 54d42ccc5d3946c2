import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { mock, type TestContext, test } from 'node:test';
import { RemoteConnections } from '../../lib/http/remote-connections.ts';

function makePlaces(t: TestContext, max: number) {
  const time = { now: 10_000 };
  const clock = mock.method(performance, 'now', () => time.now);
  t.after(() => clock.mock.restore());
  const busy = new Set<Socket>();
  const places = new RemoteConnections({ max, isIdle: (socket) => !busy.has(socket) });
  const enter = (address: string, isBusy = false) => {
    const socket = new Socket();
    Object.defineProperty(socket, 'remoteAddress', { value: address });
    if (isBusy) busy.add(socket);
    return { socket, isIn: places.enter(socket) };
  };
  return { time, places, enter };
}

test('one host with any number of connections keeps no other host out, from the first moment on', (t) => {
  const { enter } = makePlaces(t, 100);
  const flood = Array.from({ length: 60 }, () => enter('10.0.0.66'));
  const others = Array.from({ length: 40 }, (_, host) => enter(`10.0.1.${host}`));
  assert.ok([...flood, ...others].every(({ isIn }) => isIn));
  for (let host = 0; host < 10; host++) assert.ok(enter(`10.0.2.${host}`).isIn);
  assert.ok(flood.slice(0, 10).every(({ socket }) => socket.writableEnded));
  assert.ok([...flood.slice(10), ...others].every(({ socket }) => !socket.writableEnded));
});

test('a host has 64 places, of IPv6 a network of 64 bits', (t) => {
  const { enter, time } = makePlaces(t, 256);
  for (let count = 0; count < 64; count++) assert.ok(enter(`2001:db8::${count}`, true).isIn);
  assert.ok(!enter('2001:db8::ffff:1').isIn);
  assert.ok(enter('2001:db8:0:1::1').isIn);
  for (let count = 0; count < 64; count++) enter('10.0.0.1');
  assert.ok(!enter('10.0.0.1').isIn, 'its own were opened a moment ago');
  time.now += 1_100;
  assert.ok(enter('10.0.0.1').isIn, 'its oldest makes room');
});

test('what is being answered is never ended for another, nor what was opened a moment ago', (t) => {
  const { enter, time } = makePlaces(t, 2);
  const running = enter('10.0.0.1', true);
  const fresh = enter('10.0.0.2');
  assert.ok(!enter('10.0.0.3').isIn);
  time.now += 1_100;
  assert.ok(enter('10.0.0.3').isIn);
  assert.ok(!running.socket.writableEnded);
  assert.ok(fresh.socket.writableEnded);
});

test('a member of a closed network is the last to make room', (t) => {
  const { enter, places, time } = makePlaces(t, 3);
  const member = enter('10.0.0.1');
  places.markProven(member.socket);
  const idle = [enter('10.0.0.2'), enter('10.0.0.3')];
  time.now += 1_100;
  assert.ok(enter('10.0.0.4').isIn);
  assert.ok(enter('10.0.0.5').isIn);
  assert.ok(idle.every(({ socket }) => socket.writableEnded));
  assert.ok(!member.socket.writableEnded);
});

test('a place comes back with the end of its connection', async (t) => {
  const { enter } = makePlaces(t, 1);
  const { socket } = enter('10.0.0.1', true);
  assert.ok(!enter('10.0.0.2').isIn);
  socket.destroy();
  await new Promise((resolve) => socket.once('close', resolve));
  assert.ok(enter('10.0.0.2').isIn);
});
