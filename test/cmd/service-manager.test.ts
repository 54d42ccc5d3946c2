import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readServiceManager } from '../../cmd/service-manager.ts';

const PID = 42;
const socket = '/run/systemd/notify';

test('no systemd that wants to hear: nothing', () => {
  for (const env of [{}, { NOTIFY_SOCKET: '' }, { WATCHDOG_USEC: '5000000' }]) {
    assert.equal(readServiceManager(env, PID), undefined);
  }
});

const watchdogs = [
  ['for this process', { WATCHDOG_USEC: '5000000', WATCHDOG_PID: '42' }, 5_000],
  ['for whoever reads it', { WATCHDOG_USEC: '2500000' }, 2_500],
  ['for another process', { WATCHDOG_USEC: '5000000', WATCHDOG_PID: '41' }, undefined],
  ['none', {}, undefined],
  ['zero', { WATCHDOG_USEC: '0' }, undefined],
  ['no number', { WATCHDOG_USEC: '5s' }, undefined],
] as const;
for (const [what, env, watchdogMs] of watchdogs) {
  test(`the watchdog: ${what}`, () => {
    const manager = readServiceManager({ NOTIFY_SOCKET: socket, ...env }, PID);
    assert.deepEqual(manager, { socket, watchdogMs });
  });
}
