/**
 * If the process of containerd cannot be read, the note counts. A note that there is no proxy only
 * counts for the run in which it was seen.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { ContainerdApi } from '../../lib/containerd/api.ts';
import { ContainerdClient } from '../../lib/containerd/client.ts';
import { UNARY } from '../../lib/containerd/methods.ts';
import { ProxyReader, runIdOf } from '../../lib/containerd/proxy-reader.ts';
import { notedProxy, proxyOf, seenVariables } from '../../lib/proxy/containerd-proxy.ts';
import { recordingLog, signal } from './stores.ts';

const NONE = { HTTP_PROXY: '', HTTPS_PROXY: '', NO_PROXY: '' };
const PROXY = { HTTP_PROXY: 'http://user:s3cret@p:1', HTTPS_PROXY: 'http://user:s3cret@p:1' };

const bytes = (message: Buffer) => message;
const SERVICE = {
  server: {
    path: UNARY.server.path,
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  },
} as const;

/**
 * A server on the socket whose process is not named containerd, as in another pid namespace: pid 0.
 */
async function listen(socket: string): Promise<() => void> {
  const server = new Server();
  server.addService(SERVICE, {
    server: (_: unknown, answer: (error: null, message: Buffer) => void) =>
      answer(null, Buffer.alloc(0)),
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return () => server.forceShutdown();
}

async function readerOf(
  t: TestContext,
  notedIn: (run: string) => Readonly<Record<string, string>>,
) {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-proxy-'));
  const socket = join(dir, 'containerd.sock');
  const client = new ContainerdClient(socket);
  let stop = await listen(socket);
  t.after(async () => {
    client.close();
    stop();
    await rm(dir, { recursive: true });
  });
  const { log, lines } = recordingLog();
  const api = new ContainerdApi(client);
  const noted = notedProxy(notedIn(runIdOf(socket)));
  const reader = new ProxyReader({ api, log }, { socket, noted });
  const known = () => reader.containerdProxy().description;
  const read = async () => {
    await reader.read(signal);
    return known();
  };
  const restart = async () => {
    const { run } = reader.containerdProxy();
    stop();
    await rm(socket, { force: true });
    stop = await listen(socket);
    assert.notEqual(reader.containerdProxy().run, run);
  };
  return { known, read, restart, lines };
}

const seen = (environment: Record<string, string>) => (run: string) =>
  seenVariables(proxyOf(environment, run));

test('a note without a proxy counts for the run in which it was seen only', async (t) => {
  const { known, read, restart, lines } = await readerOf(t, seen({}));
  assert.deepEqual([known(), await read()], ['none', 'none']);
  await restart();
  assert.deepEqual([known(), await read(), await read()], ['unknown', 'unknown', 'unknown']);
  assert.equal(lines.length, 1, lines.join(''));
  assert.match(lines[0] ?? '', /"level":"INFO","msg":"proxy of containerd","proxy":"unknown"/);
});

test('a note without a proxy from another run, or without a run, does not count', async (t) => {
  for (const notedIn of [() => seen({})('another'), () => NONE]) {
    const { known, read } = await readerOf(t, notedIn);
    assert.deepEqual([known(), await read()], ['unknown', 'unknown']);
  }
});

test('a noted proxy stays after restarts, and so does an unknown one', async (t) => {
  for (const [notedIn, description] of [
    [() => PROXY, 'http://user:***@p:1'],
    [seen(PROXY), 'http://user:***@p:1'],
    [() => ({}), 'unknown'],
  ] as const) {
    const { read, restart, lines } = await readerOf(t, notedIn);
    assert.equal(await read(), description);
    await restart();
    assert.equal(await read(), description);
    assert.deepEqual(lines, []);
  }
});
