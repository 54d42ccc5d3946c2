/** Where containerd's process may not be looked at, the note counts; that there is no proxy only until a restart. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { notedProxy } from '../../lib/base/containerd-proxy.ts';
import { ContainerdApi } from '../../lib/containerd/api.ts';
import { ContainerdClient } from '../../lib/containerd/client.ts';
import { UNARY } from '../../lib/containerd/proto.ts';
import { ProxyReader } from '../../lib/containerd/proxy.ts';
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

/** What answers at the socket and has no process of containerd's name, as in another pid namespace: pid 0. */
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

async function readerOf(t: TestContext, noted: Readonly<Record<string, string>>) {
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
  const reader = new ProxyReader({ api, log }, { socket, noted: notedProxy(noted) });
  const read = async () => {
    await reader.read(signal);
    return reader.containerdProxy().description;
  };
  const restart = async () => {
    stop();
    await rm(socket, { force: true });
    stop = await listen(socket);
  };
  return { read, restart, lines };
}

test('that there is none holds for the run of containerd that is met first', async (t) => {
  const { read, restart, lines } = await readerOf(t, NONE);
  assert.deepEqual([await read(), await read()], ['none', 'none']);
  await restart();
  assert.deepEqual([await read(), await read()], ['unknown', 'unknown']);
  assert.equal(lines.length, 1, lines.join(''));
  assert.match(lines[0] ?? '', /"level":"INFO","msg":"proxy of containerd","proxy":"unknown"/);
});

test('a proxy that is noted stays, whatever is restarted, and so does that nothing is', async (t) => {
  for (const [noted, description] of [
    [PROXY, 'http://user:***@p:1'],
    [{}, 'unknown'],
  ] as const) {
    const { read, restart, lines } = await readerOf(t, noted);
    assert.equal(await read(), description);
    await restart();
    assert.equal(await read(), description);
    assert.deepEqual(lines, []);
  }
});
