import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { peerAtRegistry, readDaemonStatus } from '../../../lib/install/checks/daemon-status.ts';
import { listenLocally } from '../../support/listen.ts';

test('another program that answers 101 is no daemon, and is not waited for', async (t) => {
  const server = createServer((socket) => {
    const upgraded =
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n';
    socket.once('data', () => socket.end(upgraded));
  });
  const address = await listenLocally((stop) => t.after(stop), server);
  const [host = '', port] = address.split(':');
  const { signal } = new AbortController();
  await assert.rejects(readDaemonStatus({ host, port: Number(port) }, signal), /no HTTP answer/);
  await assert.rejects(peerAtRegistry(`http://${address}/`, signal), /no HTTP answer/);
});
