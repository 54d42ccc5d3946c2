import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { isEscapedSocketError } from '../../../cmd/process/uncaught.ts';

const made = (code: string, syscall?: string) =>
  Object.assign(new Error(`${syscall} ${code}`), { code, ...(syscall ? { syscall } : {}) });
const CODES = 'ECONNRESET EPIPE ETIMEDOUT ECONNREFUSED EHOSTUNREACH ENETUNREACH ECONNABORTED'.split(
  ' ',
);

test('lost connections are survived', () => {
  for (const code of CODES) {
    for (const syscall of ['connect', 'read', 'write']) {
      assert.ok(isEscapedSocketError(made(code, syscall)), `${syscall} ${code}`);
    }
  }
});

test('what else carries such a code, or none, is not', () => {
  const others = [
    made('ECONNRESET'),
    made('EPIPE', 'open'),
    made('ECONNREFUSED', 'listen'),
    made('EADDRINUSE', 'listen'),
    made('EMFILE', 'connect'),
    made('ENOSPC', 'write'),
    made('EBADF', 'read'),
    made('ENOENT', 'open'),
    new TypeError('x is not a function'),
    new Error('connect ECONNRESET'),
    'connect ECONNRESET',
    { code: 'ECONNRESET', syscall: 'read' },
    null,
    undefined,
    new AggregateError([]),
    new AggregateError([made('ECONNREFUSED', 'connect'), new TypeError('x')]),
  ];
  for (const error of others) assert.ok(!isEscapedSocketError(error), String(error));
});

test('a refused name with two addresses is survived: Node throws both at once', () => {
  const both = [made('ECONNREFUSED', 'connect'), made('ENETUNREACH', 'connect')];
  assert.ok(isEscapedSocketError(new AggregateError(both)));
});

test('errors as Node itself makes them', async () => {
  const server = createServer((socket) => socket.resetAndDestroy());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const { port } = address;
  const failure = async () => {
    const socket = connect({ port, host: '127.0.0.1' });
    const [error] = await once(socket, 'error', { signal: AbortSignal.timeout(5_000) }).catch(
      (reason) => [reason],
    );
    return error;
  };
  const reset = await failure();
  assert.ok(isEscapedSocketError(reset), String(reset));
  server.close();
  await once(server, 'close');
  const refused = await failure();
  assert.ok(isEscapedSocketError(refused), String(refused));
});
