import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { serveProbes } from '../../cmd/process/serve-cleanup-probes.ts';
import { createLogger } from '../../lib/base/log.ts';
import { endpoint, REFUSING, sayOk, serve, staySilent } from '../support/probe-hosts.ts';
import { FAST, wait } from './run-cleanup-wait.ts';

test('ends with 0 when all answered three rounds in a row', async (t) => {
  const hosts = ['127.0.0.1', '127.0.0.2', '::1'];
  const addresses = await Promise.all(hosts.map((host) => serve(t, sayOk, host)));
  const { status, stdout, stderr } = await wait(['--probe-endpoint', addresses.join(','), ...FAST]);
  assert.deepEqual([status, stderr], [0, '']);
  assert.equal(
    stdout,
    'round 1: 3 of 3 answered; 1 of 3 rounds in a row\n' +
      'done: all 3 answered, 3 of 3 rounds in a row\n',
  );
});

test('waits for what `spegel cleanup --addr` serves, by a name', async (t) => {
  const events = new EventEmitter();
  const listening = Promise.withResolvers<number>();
  const log = createLogger('INFO', (line) => {
    if (line.includes('"listening"')) listening.resolve(JSON.parse(line).port);
  });
  const served = serveProbes({ host: '', port: 0 }, async () => undefined, log, events);
  t.after(async () => {
    events.emit('SIGTERM');
    await served;
  });
  const args = ['--probe-endpoint', `localhost:${await listening.promise}`, ...FAST];
  const { status, stdout } = await wait([...args, '--threshold', '1']);
  assert.equal(status, 0);
  assert.match(stdout, /done: all [12] answered, 1 of 1 rounds in a row\n$/);
});

test('--timeout ends with 1 and names who is missing and why', async (t) => {
  const sick = await serve(t, (_request, response) => response.writeHead(503).end(), '127.0.0.3');
  const silent = await serve(t, staySilent, '127.0.0.4');
  const redirecting = await serve(
    t,
    (_request, response) => response.writeHead(302, { Location: '/readyz' }).end(),
    '127.0.0.5',
  );
  const hosts = [sick, silent, redirecting, REFUSING, 'nosuch.invalid:1', await serve(t, sayOk)];
  const list = hosts.join(',');
  const { status, stderr } = await wait(['--probe-endpoint', list, '--timeout', '2.5s', ...FAST]);
  assert.equal(status, 1);
  assert.match(stderr, /^spegel: expected all hosts to answer within 2\.5s, got after round \d+: /);
  assert.match(stderr, /: 1 of 6 answered, missing 127\.0\.0\.1:1 \(connection refused\), /);
  assert.match(stderr, /127\.0\.0\.3:\d+ \(answered 503\), /);
  assert.match(stderr, /127\.0\.0\.4:\d+ \(no answer within 1 s\), /);
  assert.match(stderr, /127\.0\.0\.5:\d+ \(answered 302\), /);
  assert.match(stderr, /nosuch\.invalid:1 \([^)]*resolve[^)]*\); 0 of 3 rounds in a row; look at /);
});

test('--timeout in the first round names who has not answered yet', async (t) => {
  const silent = await serve(t, staySilent);
  const { status, stderr } = await wait(['--probe-endpoint', silent, '--timeout', '100ms']);
  assert.equal(status, 1);
  assert.match(stderr, /within 100ms, got .*missing 127\.0\.0\.1 \(no answer yet\); /);
});

test('--timeout while all answer says that there were too few rounds', async (t) => {
  const address = await serve(t, sayOk);
  const { status, stderr } = await wait(['--probe-endpoint', address, '--timeout', '500ms']);
  assert.equal(status, 1);
  assert.match(
    stderr,
    /1 of 1 answered; 1 of 3 rounds in a row; 3 rounds take at least 4s, wait longer with --timeout/,
  );
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends it at once with 1, in a round and between two`, async (t) => {
    const inRound = new EventEmitter();
    const silent = await serve(t, () => inRound.emit(signal));
    const first = await wait(['--probe-endpoint', silent], { events: inRound });
    const between = new EventEmitter();
    const second = await wait(['--probe-endpoint', REFUSING, '--period', '1h'], {
      events: between,
      onLine: () => setImmediate(() => between.emit(signal)),
    });
    for (const { status, stderr } of [first, second]) {
      assert.equal(status, 1);
      assert.ok(stderr.includes(`got ${signal} after round 1: `), stderr);
    }
    assert.match(first.stderr, /missing 127\.0\.0\.1 \(no answer yet\)/);
    assert.match(second.stderr, /missing 127\.0\.0\.1 \(connection refused\)/);
  });
}

test('options come from the environment too, a list in any of its spellings', async (t) => {
  const addresses = [await serve(t, sayOk), await serve(t, sayOk, '127.0.0.2')];
  const env = {
    PROBE_ENDPOINT: addresses.join(', '),
    THRESHOLD: '2',
    PERIOD: '10ms',
    TIMEOUT: '1m',
  };
  const done = 'done: all 2 answered, 2 of 2 rounds in a row\n';
  assert.ok((await wait([], { env })).stdout.endsWith(done));
  const [first = '', second = ''] = addresses;
  const { port } = endpoint(second);
  for (const words of [
    ['--probe-endpoint', first, second],
    ['--probe-endpoint', first, '--probe-endpoint', `127.0.0.2:${port}`],
    ['-probe-endpoint', `${first},`, second],
  ]) {
    const options = { env: { THRESHOLD: '2', PERIOD: '10ms' } };
    assert.ok((await wait(words, options)).stdout.endsWith(done), words.join(' '));
  }
});

const wrong: Record<string, [string[], RegExp]> = {
  'no endpoint': [[], /--probe-endpoint: expected name:port, got none; see 'spegel help clean/],
  'no port': [['--probe-endpoint', 'a'], /--probe-endpoint: expected a port at the last host/],
  threshold: [['--threshold', '0'], /--threshold: expected a whole number between 1 and 1000/],
  period: [['--period', '2'], /--period: expected a duration such as/],
  timeout: [['--timeout', '0'], /--timeout: expected a duration between 1ms and 168h/],
};
for (const [name, [args, message]] of Object.entries(wrong)) {
  test(`usage error: ${name}`, async () => {
    const { status, stdout, stderr } = await wait(args);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, message);
  });
}
