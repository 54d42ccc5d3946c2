import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDescriptor, readServiceManager } from '../../../cmd/process/service-manager.ts';

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

const held = { LISTEN_PID: '42', LISTEN_FDS: '1', LISTEN_FDNAMES: 'registry' };
const descriptors = [
  ['the one that is held', held, 3],
  ['the second one', { ...held, LISTEN_FDS: '2', LISTEN_FDNAMES: 'other:registry' }, 4],
  ['for another process', { ...held, LISTEN_PID: '41' }, undefined],
  ['none for the registry', { ...held, LISTEN_FDNAMES: 'other' }, undefined],
  ['a name without a descriptor', { ...held, LISTEN_FDNAMES: 'other:registry' }, undefined],
  ['zero', { ...held, LISTEN_FDS: '0' }, undefined],
  ['no number', { ...held, LISTEN_FDS: '1x' }, undefined],
  ['none', {}, undefined],
] as const;
for (const [what, env, descriptor] of descriptors) {
  test(`the socket that systemd holds: ${what}`, () => {
    assert.equal(readDescriptor(env, PID), descriptor);
  });
}
