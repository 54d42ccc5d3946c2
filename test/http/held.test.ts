/** A listening socket that systemd holds: taken over where it is the address that is set, and never left without an answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startHeldServer } from '../support/held-server.ts';

const statusAt = async (host: string, port: number) =>
  (await fetch(`http://${host}:${port}/`)).status;
const warnings = (log: readonly Record<string, unknown>[]) =>
  log.filter(({ level }) => level === 'WARN');

for (const host of ['127.0.0.1', '::1', '::', '0.0.0.0']) {
  test(`held at ${host}, where it is to be: taken over`, async (t) => {
    const address = (port: number) => ({ host: host === '::' ? '' : host, port });
    const { held, port, log } = await startHeldServer((stop) => t.after(stop), host, address);
    assert.equal(port, held);
    assert.equal(await statusAt(host === '::1' ? '[::1]' : '127.0.0.1', held), 200);
    assert.deepEqual(warnings(log), []);
  });
}

test('another port is held: it serves at its own, and says at the other that it does not', async (t) => {
  const address = () => ({ host: '127.0.0.1', port: 0 });
  const { held, port, log } = await startHeldServer((stop) => t.after(stop), '::', address);
  assert.notEqual(port, held);
  assert.deepEqual(
    [await statusAt('127.0.0.1', port), await statusAt('127.0.0.1', held)],
    [200, 404],
  );
  const [warning] = warnings(log);
  assert.deepEqual([warning?.set, warning?.held], ['127.0.0.1:0', `[::]:${held}`]);
  assert.match(String(warning?.msg), /run 'spegel install'/);
});

test('more addresses of the port are held than are set: it serves at those alone', async (t) => {
  const address = (port: number) => ({ host: '127.0.0.1', port });
  const { held, log } = await startHeldServer((stop) => t.after(stop), '::', address);
  const found = [await statusAt('127.0.0.1', held), await statusAt('127.0.0.2', held)];
  assert.deepEqual(found, [200, 404]);
  assert.equal(await statusAt('[::1]', held), 404);
  assert.equal(warnings(log).length, 1);
});

test('IPv4 alone is set, and both families are held', async (t) => {
  const address = (port: number) => ({ host: '0.0.0.0', port });
  const { held } = await startHeldServer((stop) => t.after(stop), '::', address);
  assert.deepEqual([await statusAt('127.0.0.2', held), await statusAt('[::1]', held)], [200, 404]);
});

test('fewer addresses are held than are set: it serves at those, and says so', async (t) => {
  const address = (port: number) => ({ host: '', port });
  const { held, log } = await startHeldServer((stop) => t.after(stop), '127.0.0.1', address);
  assert.equal(await statusAt('127.0.0.1', held), 200);
  assert.equal(warnings(log).length, 1);
});
