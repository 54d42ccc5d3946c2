/** The socket that systemd holds: its unit, and what the service needs to take it over. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseListenAddress } from '../../cmd/options/values.ts';
import { NODE_VARIABLES } from '../../cmd/process/clean-start.ts';
import { isHeldBySystemd, socketUnit } from '../../lib/install/system/socket-unit.ts';

const systemd = join(import.meta.dirname, '../../systemd');
const unit = readFileSync(join(systemd, 'spegel.socket'), 'utf8');

for (const [address, listens] of [
  [':5000', '5000'],
  ['10.0.0.5:5050', '10.0.0.5:5050'],
  ['0.0.0.0:5000', '0.0.0.0:5000'],
  ['[::1]:5000', '[::1]:5000'],
] as const) {
  test(`REGISTRY_ADDR=${address}: systemd holds ${listens}`, () => {
    const text = socketUnit(unit, parseListenAddress(address)) ?? '';
    assert.deepEqual(text.match(/^ListenStream=.*$/gm), [`ListenStream=${listens}`]);
    assert.equal(text.replace(/^ListenStream=.*$/m, ''), unit.replace(/^ListenStream=.*$/m, ''));
  });
}

test('a port that the kernel chooses cannot be held', () => {
  assert.equal(socketUnit(unit, parseListenAddress(':0')), undefined);
});

test('a port that another process has is not held by systemd', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.after(() => server.close());
  assert.equal(isHeldBySystemd((server.address() as { port: number }).port), false);
});

test('the service gets no variable for which the executable would begin anew', () => {
  const service = readFileSync(join(systemd, 'spegel.service'), 'utf8');
  const unset = [...service.matchAll(/^UnsetEnvironment=(.*)$/gm)].flatMap(([, names = '']) =>
    names.split(' '),
  );
  assert.deepEqual(unset, [...NODE_VARIABLES]);
});
