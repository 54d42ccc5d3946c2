/** A server of a test on a port that the kernel chooses. */
import assert from 'node:assert/strict';
import type { Server, Socket } from 'node:net';

/**
 * Listens on 127.0.0.1, or another address of the loopback, and gives `host:port`; `cleanup` is
 * told how to end it and every connection to it.
 */
export async function listenLocally(
  cleanup: (stop: () => void) => void,
  server: Server,
  host = '127.0.0.1',
): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, host, resolve);
  });
  cleanup(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return `${host}:${address.port}`;
}
