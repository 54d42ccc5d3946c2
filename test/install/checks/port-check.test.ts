import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { portFindings } from '../../../lib/install/checks/port-check.ts';

const OWN = { pid: process.pid, listens: [] };
const NOBODY = { pid: 0, listens: [] };
const listener = (port: number, host = '') => ({ option: 'METRICS_ADDR', host, port });

async function listening(t: TestContext): Promise<number> {
  const server = createServer().listen(0);
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test('a port that another program has is named with it and the flag to give', async (t) => {
  const script =
    "const s = require('net').createServer().listen(0, () => console.log(s.address().port))";
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  const [text] = await once(child.stdout, 'data');
  const port = Number(text);
  for (const host of ['', '127.0.0.1']) {
    // A service that is in a restart loop has a process, and not its port.
    const [finding, ...more] = await portFindings([listener(port, host)], OWN);
    assert.deepEqual(more, []);
    assert.equal(finding?.kind, 'obstacle');
    assert.match(
      finding?.message ?? '',
      new RegExp(`port ${port} .*got .* \\(pid ${child.pid}\\)`),
    );
    assert.match(finding?.lines[0] ?? '', /^spegel install --metrics-addr=\S*:\d+$/);
    assert.doesNotMatch(finding?.lines[0] ?? '', new RegExp(`:${port}$`));
  }
});

test('one call has all the flags, and what the command line said', async (t) => {
  const ports = [await listening(t), await listening(t)];
  const listeners = ports.map((port, index) => ({ ...listener(port), option: `X${index}_ADDR` }));
  const said = { STATIC_BOOTSTRAP_PEERS: 'a:1,b:2', HTTP_BOOTSTRAP_URL: "http://h/?a=1&b='x'" };
  const findings = await portFindings(listeners, NOBODY, said);
  const [command = '', other] = findings.map(({ lines }) => lines[0]);
  assert.equal(command, other);
  const start = "spegel install --static-bootstrap-peers=a:1,b:2 '--http-bootstrap-url=";
  assert.ok(command.startsWith(`${start}http://h/?a=1&b='\\''x'\\'''`), command);
  const chosen = [...command.matchAll(/ --x\d-addr=:(\d+)/g)].map(([, port]) => port);
  assert.equal(new Set([...chosen, ...ports.map(String)]).size, 4, command);
});

test("the service's own ports, free ones and those that the kernel chooses are fine", async (t) => {
  const port = await listening(t);
  assert.deepEqual(await portFindings([listener(port), listener(0)], OWN), []);
  assert.equal((await portFindings([listener(port)], NOBODY)).length, 1);
  const server = createServer().listen(0);
  await once(server, 'listening');
  const free = (server.address() as AddressInfo).port;
  server.close();
  await once(server, 'close');
  assert.deepEqual(await portFindings([listener(free)], NOBODY), []);
});

test('an address that this host does not have is told by its code', async () => {
  const [finding] = await portFindings([listener(5999, '192.0.2.1')], NOBODY);
  assert.match(finding?.message ?? '', /got EADDRNOTAVAIL/);
});
