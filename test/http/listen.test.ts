import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import type { ListenAddress } from '../../lib/base/address.ts';
import { SpegelError } from '../../lib/base/errors.ts';
import { makeServer, never, sayOk } from './server-support.ts';

test('an address that cannot be used is explained in one line', async (t) => {
  const other = createServer();
  await new Promise<void>((resolve) => {
    other.listen(0, '127.0.0.1', resolve);
  });
  t.after(() => other.close());
  const taken = other.address();
  assert.ok(typeof taken === 'object' && taken !== null);
  const cases: [ListenAddress, RegExp][] = [
    [{ host: '127.0.0.1', port: taken.port }, /another process listens there; stop it/],
    [{ host: '192.0.2.1', port: 0 }, /no such address/],
    [{ host: 'no-such-host.invalid', port: 0 }, /choose another/],
  ];
  for (const [address, message] of cases) {
    await assert.rejects(makeServer(sayOk, address).start(never), (error) => {
      assert.ok(error instanceof SpegelError);
      assert.equal(error.code, 'ERR_LISTEN');
      assert.match(error.message, message);
      assert.match(error.message, /^expected .*, got .*--registry-addr$/);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  }
});

test('without a host both families are served', async (t) => {
  const server = makeServer(sayOk, { host: '', port: 0 });
  await server.start(never);
  t.after(() => server.stop());
  assert.equal(await (await fetch(`http://127.0.0.1:${server.port}/`)).text(), 'ok');
  const hasIpv6 = networkInterfaces().lo?.some((info) => info.family === 'IPv6') ?? false;
  if (hasIpv6) assert.equal(await (await fetch(`http://[::1]:${server.port}/`)).text(), 'ok');
});
