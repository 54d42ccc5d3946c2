import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { mock, type TestContext, test } from 'node:test';
import { ConnectionBounds, RemoteConnections } from '../../lib/http/connection-bounds.ts';

const MAX = { remote: 2, host: 3, user: 2 };
const OWN = { has: (address: string | undefined) => address === '127.0.0.1' };

/** Connections that were never connected; `owner` undefined: another host's. */
function makeBounds({ canTell = true, uid = 0 }: { canTell?: boolean; uid?: number } = {}) {
  const owners = new Map<Socket, number | undefined>();
  const busy = new Set<Socket>();
  const bounds = new ConnectionBounds(
    {
      own: OWN,
      ownerOf: canTell ? (socket) => owners.get(socket) : undefined,
      isIdle: (socket) => !busy.has(socket),
      isUnheard: () => true,
      uid,
    },
    MAX,
  );
  const enter = (address: string, owner?: number, isBusy = true) => {
    const socket = new Socket();
    Object.defineProperty(socket, 'remoteAddress', { value: address });
    owners.set(socket, owner);
    if (isBusy) busy.add(socket);
    return { socket, fate: bounds.enter(socket) };
  };
  return { bounds, enter };
}

test('each kind has a bound of its own, and one that ends gives its place back', async () => {
  const { enter } = makeBounds();
  const users = [enter('127.0.0.1', 1000), enter('127.0.0.1', 1001)];
  assert.equal(enter('127.0.0.1', 1000).fate, 'refused');
  assert.equal(enter('127.0.0.1', undefined).fate, 'refused', 'one that cannot be told');
  for (const kind of [() => enter('127.0.0.1', 0), () => enter('10.0.0.9')]) {
    const fates = [1, 2].map(() => kind().fate);
    assert.deepEqual(fates, ['open', 'open']);
  }
  const closed = users[0]?.socket;
  closed?.destroy();
  if (closed !== undefined) await once(closed, 'close');
  assert.equal(enter('127.0.0.1', 1000).fate, 'open');
});

test('the user of this process is the host, too', () => {
  const { bounds, enter } = makeBounds({ uid: 1000 });
  const { socket } = enter('127.0.0.1', 1000);
  assert.equal(bounds.isOwnUser(socket), true);
  assert.equal(bounds.isOwnUser(enter('127.0.0.1', 1001).socket), false);
  assert.equal(bounds.isOwnUser(enter('127.0.0.1', 0).socket), true);
});

test('where the kernel names no user, all clients on this host share its bound, and none is trusted', () => {
  const { bounds, enter } = makeBounds({ canTell: false });
  const all = [1, 2, 3].map(() => enter('127.0.0.1'));
  assert.deepEqual(
    all.map(({ fate }) => fate),
    ['open', 'open', 'open'],
  );
  assert.equal(enter('127.0.0.1').fate, 'refused');
  assert.ok(all.every(({ socket }) => !bounds.isOwnUser(socket)));
});

test('on this host the oldest connection that does nothing makes room, once it had the time to ask', (t) => {
  let now = 0;
  const clock = mock.method(performance, 'now', () => now);
  t.after(() => clock.mock.restore());
  const { enter } = makeBounds();
  const [idle, busy] = [enter('127.0.0.1', 1000, false), enter('127.0.0.1', 1000)];
  now = 900;
  assert.equal(enter('127.0.0.1', 1000).fate, 'refused');
  now = 1_100;
  assert.equal(enter('127.0.0.1', 1000).fate, 'open');
  assert.equal(idle.socket.writableEnded, true);
  assert.equal(busy.socket.writableEnded, false);
  const remotes = [1, 2].map(() => enter('10.0.0.9', undefined, false));
  now = 10_000;
  enter('127.0.0.1', 1000);
  assert.ok(
    remotes.every(({ socket }) => !socket.writableEnded),
    'peers are not ended for this host',
  );
});

test('a flood is dropped without a word', (t) => {
  let now = 0;
  const clock = mock.method(performance, 'now', () => now);
  t.after(() => clock.mock.restore());
  const { enter } = makeBounds();
  for (let count = 0; count < 2; count += 1) enter('127.0.0.1', 1000);
  const fates = Array.from({ length: 100 }, () => enter('127.0.0.1', 1000).fate);
  assert.deepEqual([fates[0], fates[63], fates[64]], ['refused', 'refused', 'dropped']);
  now = 1_000;
  assert.equal(enter('127.0.0.1', 1000).fate, 'refused');
});

function makePlaces(t: TestContext, max: number) {
  const time = { now: 10_000 };
  const clock = mock.method(performance, 'now', () => time.now);
  t.after(() => clock.mock.restore());
  const busy = new Set<Socket>();
  const heard = new Set<Socket>();
  const places = new RemoteConnections({
    max,
    isIdle: (socket) => !busy.has(socket),
    isUnheard: (socket) => !heard.has(socket),
  });
  const enter = (address: string, isBusy = false) => {
    const socket = new Socket();
    Object.defineProperty(socket, 'remoteAddress', { value: address });
    if (isBusy) busy.add(socket);
    return { socket, isIn: places.enter(socket) };
  };
  return { time, places, enter, heard };
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

test('a connection that was kept behind its first answer makes room at once', (t) => {
  const { enter, heard } = makePlaces(t, 2);
  const [asking, kept] = [enter('10.0.0.1'), enter('10.0.0.2')];
  heard.add(kept.socket);
  assert.ok(enter('10.0.0.3').isIn);
  assert.ok(kept.socket.writableEnded);
  assert.ok(!asking.socket.writableEnded);
  assert.ok(!enter('10.0.0.4').isIn);
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
