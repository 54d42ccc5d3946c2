/** What tests of HttpServer share: a server, and a client that sends bytes as they are. */
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { ListenAddress } from '../../lib/base/address.ts';
import { silentLogger } from '../../lib/base/log.ts';
import { type Handler, HttpServer } from '../../lib/http/server.ts';

export const never = new AbortController().signal;

export function makeServer(handler: Handler, address: ListenAddress, drainMs = 100): HttpServer {
  const settings = { address, name: 'registry', option: '--registry-addr', drainMs };
  return new HttpServer({ handler, log: silentLogger }, settings);
}

export async function startServer(t: TestContext, handler: Handler, drainMs?: number) {
  const server = makeServer(handler, { host: '127.0.0.1', port: 0 }, drainMs);
  await server.start(never);
  t.after(() => server.stop());
  return server;
}

export const sayOk: Handler = (_request, response) => {
  response.end('ok');
};

export interface Raw {
  readonly socket: Socket;
  /** What came, and how it ended. */
  readonly done: Promise<{ text: string; end: 'fin' | 'reset' }>;
}

export function raw(port: number, send: string, allowHalfOpen = false): Raw {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen });
  let text = '';
  socket.on('data', (data) => {
    text += data.toString('latin1');
  });
  socket.write(send);
  const done = new Promise<{ text: string; end: 'fin' | 'reset' }>((resolve) => {
    socket.on('end', () => {
      socket.end();
      resolve({ text, end: 'fin' });
    });
    socket.on('error', () => resolve({ text, end: 'reset' }));
  });
  return { socket, done };
}
