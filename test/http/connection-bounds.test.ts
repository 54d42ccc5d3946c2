import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { mock, test } from 'node:test';
import { ConnectionBounds } from '../../lib/http/connection-bounds.ts';

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
