import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import { openSocketOwner } from '../../lib/http/socket-owner.ts';

const ownerOf = openSocketOwner();
const skip = ownerOf === undefined && 'no sock_diag here';
const isRoot = process.geteuid?.() === 0;
const NOBODY = 65_534;

/** A connection from a process of that user, and its end here. */
async function connectAs(t: TestContext, uid: number, host: string, listenOn?: string) {
  const server = createServer().listen(0, listenOn);
  t.after(() => server.close());
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const script = `process.setgid(${uid}); process.setuid(${uid});
    require('net').connect(${address.port}, '${host}').on('end', () => process.exit());`;
  const child = spawn(process.execPath, ['-e', isRoot ? script : script.replace(/^.*\n/, '')]);
  t.after(() => child.kill());
  const [socket] = (await once(server, 'connection')) as [Socket];
  t.after(() => socket.destroy());
  return { socket, child };
}

const hasIpv6 = networkInterfaces().lo?.some(({ family }) => family === 'IPv6') ?? false;
const ways = [
  ['IPv4', '127.0.0.1', '127.0.0.1'],
  ['IPv4 to a socket of both families', '127.0.0.1', undefined],
  ...(hasIpv6 ? [['IPv6', '::1', undefined] as const] : []),
] as const;

for (const [name, host, listenOn] of ways) {
  test(`the kernel names the user of a connection: ${name}`, { skip }, async (t) => {
    for (const uid of isRoot ? [0, NOBODY] : [process.geteuid?.() ?? 0]) {
      const { socket } = await connectAs(t, uid, host, listenOn);
      assert.equal(ownerOf?.(socket), uid);
    }
  });
}

test('a client that is gone has no user, and is not root', { skip }, async (t) => {
  const { socket, child } = await connectAs(t, isRoot ? NOBODY : 0, '127.0.0.1');
  socket.resume();
  const ended = once(socket, 'end');
  child.kill('SIGKILL');
  await ended;
  assert.equal(ownerOf?.(socket), undefined);
});
