import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CleanupCheck, serveProbes } from '../../../cmd/process/serve-cleanup-probes.ts';
import { createLogger } from '../../../lib/base/log.ts';

const done: CleanupCheck = async () => undefined;
const GONE = 'spegel cleanup: the settings are gone\n';

/** Serves on a port that the kernel chooses, which the log names. */
async function startProbes(t: TestContext, host = '127.0.0.1', look: CleanupCheck = done) {
  const events = new EventEmitter();
  const listening = Promise.withResolvers<number>();
  const log = createLogger('INFO', (line) => {
    const { msg, port } = JSON.parse(line);
    if (msg === 'listening') listening.resolve(port);
  });
  const status = serveProbes({ host, port: 0 }, look, log, events);
  t.after(async () => {
    events.emit('SIGTERM');
    await status;
  });
  return { events, status, port: await listening.promise };
}

async function ask(port: number, method: string, path: string, host = '127.0.0.1') {
  const sent = request({ host, port, method, path, agent: false });
  sent.end();
  const [response] = await once(sent, 'response');
  const { statusCode: status, headers } = response;
  return { status, headers, body: await text(response) };
}

test('200 on /readyz and /healthz, 404 elsewhere, GET and HEAD', async (t) => {
  const { port } = await startProbes(t);
  const cases = { '/readyz': 200, '/healthz': 200, '/healthz?x=1': 200 };
  const elsewhere = { '/': 404, '/healthz/': 404, '/livez': 404, '/v2/': 404 };
  for (const [path, expected] of Object.entries({ ...cases, ...elsewhere })) {
    const get = await ask(port, 'GET', path);
    assert.equal(get.status, expected, path);
    const head = await ask(port, 'HEAD', path);
    assert.deepEqual([head.status, head.body], [expected, ''], path);
    assert.equal(head.headers['content-length'], String(Buffer.byteLength(get.body)));
  }
  assert.equal((await ask(port, 'GET', '/healthz')).body, GONE);
  assert.match((await ask(port, 'GET', '/')).body, /expected \/readyz or \/healthz/);
});

test('other methods are 405 and say what is allowed, whatever the path', async (t) => {
  const { port } = await startProbes(t);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    for (const path of ['/healthz', '/']) {
      const { status, headers } = await ask(port, method, path);
      assert.deepEqual([status, headers.allow], [405, 'GET, HEAD'], `${method} ${path}`);
    }
  }
});

test('all interfaces are both families', async (t) => {
  const { port } = await startProbes(t, '');
  for (const host of ['127.0.0.1', '127.0.0.2', '::1']) {
    assert.equal((await ask(port, 'GET', '/readyz', host)).status, 200, host);
  }
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends it with status 0: nobody listens, no listener is left`, async (t) => {
    const { events, status, port } = await startProbes(t);
    // A connection that is kept does not hold it up.
    const response = await fetch(`http://127.0.0.1:${port}/healthz`);
    assert.equal(await response.text(), GONE);
    events.emit(signal);
    assert.equal(await status, 0);
    assert.deepEqual(events.eventNames(), []);
    await assert.rejects(ask(port, 'GET', '/healthz'), { code: 'ECONNREFUSED' });
  });
}

test('an address that is taken is an error that names the option', async (t) => {
  const { port } = await startProbes(t);
  const events = new EventEmitter();
  const log = createLogger('ERROR', () => {});
  await assert.rejects(serveProbes({ host: '127.0.0.1', port }, done, log, events), {
    code: 'ERR_LISTEN',
    message: /the probe server can listen on, got 127\.0\.0\.1:\d+: another process .* --addr$/,
  });
  assert.deepEqual(events.eventNames(), []);
});

test('each probe is a look of its own: no longer 200 when the settings are back, or nobody can tell', async (t) => {
  const answers: CleanupCheck[] = [
    done,
    async () => 'the settings are back in /x\n/y: run spegel cleanup again',
    () => Promise.reject(new Error('EACCES: permission denied')),
    done,
  ];
  let looks = 0;
  const look = () => answers[looks++]?.() ?? done();
  const { port } = await startProbes(t, '127.0.0.1', look);
  for (const [status, body] of [
    [200, GONE],
    [503, 'spegel cleanup: the settings are back in /x /y: run spegel cleanup again\n'],
    [503, 'spegel cleanup: EACCES: permission denied\n'],
    [200, GONE],
  ] as const) {
    const path = looks % 2 === 0 ? '/healthz' : '/readyz';
    const found = await ask(port, 'GET', path);
    assert.deepEqual([found.status, found.body], [status, body]);
  }
  assert.equal(looks, 4);
});

test('many at once share a look that begins after they asked', async (t) => {
  let running = 0;
  let most = 0;
  let looks = 0;
  const look = async () => {
    looks += 1;
    running += 1;
    most = Math.max(most, running);
    await sleep(200);
    running -= 1;
    return undefined;
  };
  const { port } = await startProbes(t, '127.0.0.1', look);
  const all = await Promise.all(Array.from({ length: 12 }, () => ask(port, 'GET', '/healthz')));
  assert.ok(all.every(({ status }) => status === 200));
  assert.equal(most, 1);
  assert.ok(looks >= 2 && looks <= 6, `${looks} looks`);
});
