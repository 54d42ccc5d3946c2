import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { runDaemon } from '../../../cmd/process/run-daemon.ts';
import { SpegelError } from '../../../lib/base/errors.ts';
import { silentLogger } from '../../../lib/base/log.ts';
import { start } from '../support.ts';

/** Runs the fake daemon; a signal is sent at each line of its stdout that names one. */
async function runFake(args: readonly string[], signals: Record<string, NodeJS.Signals>) {
  const child = start('test/cmd/fake-daemon.ts', args);
  const lines: string[] = [];
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  for await (const line of createInterface(child.stdout)) {
    lines.push(line);
    const signal = signals[line];
    if (signal !== undefined) child.kill(signal);
  }
  return { status: await ended, lines, stderr };
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} stops the daemon, which ends with 0; its start signal is not aborted`, async () => {
    const { status, lines } = await runFake([], { started: signal });
    assert.deepEqual([status, lines], [0, ['started', 'stopping', 'stopped']]);
  });
}

test('a second signal does not wait for the first: status 1', async () => {
  const { status, lines, stderr } = await runFake(['stop-hangs'], {
    started: 'SIGTERM',
    stopping: 'SIGINT',
  });
  assert.deepEqual([status, lines], [1, ['started', 'stopping']]);
  assert.match(stderr, /second signal/);
});

test('a signal during the start aborts it, and what was started is stopped', async () => {
  const { status, lines } = await runFake(['start-hangs'], { starting: 'SIGTERM' });
  assert.deepEqual([status, lines], [0, ['starting', 'stopping', 'stopped']]);
});

test('SIGHUP reloads and ends nothing, also during the start and when reloading fails', async () => {
  const hung = await runFake(['reload-fails'], { started: 'SIGHUP', reloading: 'SIGTERM' });
  assert.deepEqual([hung.status, hung.lines], [0, ['started', 'reloading', 'stopping', 'stopped']]);
  assert.match(hung.stderr, /"level":"ERROR","msg":"reloading failed","error":"no reload"/);
  const early = await runFake(['start-hangs'], { starting: 'SIGHUP', reloading: 'SIGTERM' });
  assert.deepEqual([early.status, early.lines[1]], [0, 'reloading']);
});

for (const what of ['socket-error', 'rejection']) {
  test(`a socket error that escapes is logged and survived: ${what}`, async () => {
    const child = start('test/cmd/fake-daemon.ts', [what]);
    const [line] = await new Promise<string[]>((resolve) => {
      child.stderr.once('data', (chunk) => resolve(String(chunk).split('\n')));
    });
    const { level, error, code } = JSON.parse(line ?? '');
    assert.deepEqual([level, error, code], ['WARN', 'connect ECONNRESET', 'ECONNRESET']);
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.kill('SIGTERM');
    assert.equal(await ended, 0, 'it was alive until it was stopped');
  });
}

test('any other uncaught error ends the process with a line in the log and status 1', async () => {
  const { status, stderr } = await runFake(['defect'], {});
  assert.equal(status, 1);
  assert.equal(stderr.trim().split('\n').length, 1);
  assert.match(JSON.parse(stderr).error, /TypeError: x is not a function\n +at /);
});

test('a daemon that cannot start is stopped, its error thrown, no listener left behind', async () => {
  const events = new EventEmitter();
  const calls: string[] = [];
  const daemon = {
    start: () => Promise.reject(new SpegelError('ERR_LISTEN', 'taken')),
    stop: async () => {
      calls.push('stop');
    },
  };
  await assert.rejects(runDaemon(daemon, silentLogger, events), { code: 'ERR_LISTEN' });
  assert.deepEqual(calls, ['stop']);
  assert.deepEqual(events.eventNames(), []);
});
