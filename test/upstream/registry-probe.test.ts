import assert from 'node:assert/strict';
import { createServer as createTcpServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { delay } from '../../lib/base/abortable.ts';
import { silentLogger } from '../../lib/base/log.ts';
import type { RegistryEndpoint } from '../../lib/hosts/registry-endpoints.ts';
import {
  type ContainerdProxy,
  inRun,
  proxyOf,
  UNKNOWN_PROXY,
} from '../../lib/proxy/containerd-proxy.ts';
import { UpstreamClient } from '../../lib/upstream/client.ts';
import { RegistryProbe } from '../../lib/upstream/registry-probe.ts';
import { listenLocally } from '../support/listen.ts';
import { clientWith, endpoint, NO_PROXY, startServer } from './support.ts';

const REGISTRY = 'example.com';

/** A probe of the current `endpoints`. */
function probeOf(endpoints: RegistryEndpoint[], proxy = UNKNOWN_PROXY, timeoutMs = 400) {
  return probeBy(() => proxy, endpoints, timeoutMs);
}

/** A probe with a containerd that has another proxy at each call. */
function probeBy(
  containerdProxy: () => ContainerdProxy,
  endpoints: RegistryEndpoint[],
  timeoutMs = 400,
) {
  const parts = {
    client: new UpstreamClient({ proxy: { containerdProxy } }),
    endpointsOf: async () => endpoints,
    proxy: { containerdProxy },
    log: silentLogger,
  };
  return new RegistryProbe(parts, { timeoutMs });
}

function tcp(t: TestContext, answer: Parameters<typeof createTcpServer>[1]): Promise<string> {
  return listenLocally((stop) => t.after(stop), createTcpServer(answer));
}

test('any status below 500 is an answer, in the first or second request', async (t) => {
  for (const [status, expected] of [
    [200, true],
    [401, true],
    [404, true],
    [429, true],
    [500, false],
    [503, false],
  ] as const) {
    const { address, asked } = await startServer(t, (_request, response) => {
      response.writeHead(status).end();
    });
    assert.equal(await probeOf([endpoint(address)]).answers(REGISTRY), expected, String(status));
    assert.deepEqual(
      asked,
      Array.from({ length: expected ? 1 : 2 }, () => 'GET /v2/'),
    );
  }
});

test('one failed request does not count', async (t) => {
  let count = 0;
  const { address } = await startServer(t, (_request, response) => {
    count += 1;
    response.writeHead(count === 1 ? 503 : 200).end();
  });
  assert.equal(await probeOf([endpoint(address)]).answers(REGISTRY), true);
});

test('a refusal, silence and garbage are no answer, in bounded time', async (t) => {
  const addresses = [
    '127.0.0.1:1',
    await tcp(t, () => {}),
    await tcp(t, (socket) => socket.destroy()),
    await tcp(t, (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')),
  ];
  for (const address of addresses) {
    const startedAt = performance.now();
    assert.equal(await probeOf([endpoint(address)]).answers(REGISTRY), false, address);
    assert.ok(performance.now() - startedAt < 2_000, address);
  }
});

test('a TLS alert is an answer: the server wants another handshake', async (t) => {
  // A server without a certificate must abort the handshake.
  const address = await listenLocally((stop) => t.after(stop), createTlsServer({}));
  const tls = endpoint(address, { baseUrl: `https://${address}/v2` });
  assert.equal(await probeOf([tls], UNKNOWN_PROXY, 5_000).answers(REGISTRY), true);
});

test('an https endpoint that speaks plain HTTP answers', async (t) => {
  const { address } = await startServer(t, (_request, response) => response.writeHead(401).end());
  const tls = endpoint(address, { baseUrl: `https://${address}/v2` });
  assert.equal(await probeOf([tls]).answers(REGISTRY), true);
});

test('the result is kept for a while, and one probe runs at a time', async (t) => {
  const { address, asked } = await startServer(t, (_request, response) => {
    response.writeHead(401).end();
  });
  const probe = probeOf([endpoint(address)]);
  assert.equal(probe.known(REGISTRY), undefined);
  await Promise.all(Array.from({ length: 20 }, () => probe.answers(REGISTRY)));
  await probe.answers(REGISTRY);
  assert.equal(probe.known(REGISTRY), true);
  assert.equal(asked.length, 1);
});

test('a silent endpoint does not delay the answer of another', async (t) => {
  const silent = await tcp(t, () => {});
  const { address } = await startServer(t, (_request, response) => response.writeHead(200).end());
  const startedAt = performance.now();
  const probe = probeOf([endpoint(silent), endpoint(address)], UNKNOWN_PROXY, 5_000);
  assert.equal(await probe.answers(REGISTRY), true);
  assert.ok(performance.now() - startedAt < 2_000);
});

test('a failure of an endpoint that was never reached only counts if nothing listens there', async (t) => {
  const closing = await tcp(t, (socket) => socket.destroy());
  const failing = await startServer(t, (_request, response) => response.writeHead(503).end());
  for (const [address, proxy, isGone] of [
    [closing, NO_PROXY, false],
    [failing.address, NO_PROXY, false],
    ['127.0.0.1:1', UNKNOWN_PROXY, false],
    ['127.0.0.1:1', proxyOf({ HTTP_PROXY: 'http://127.0.0.1:1' }), false],
    ['127.0.0.1:1', NO_PROXY, true],
    ['no-such-host.invalid', NO_PROXY, true],
  ] as const) {
    const found = await probeOf([endpoint(address)], proxy, 3_000).isGone(REGISTRY, true);
    assert.equal(found, isGone, `${address} by ${proxy.description}`);
  }
});

test('returns at once if the registry cannot be gone', async (t) => {
  const silent = await tcp(t, () => {});
  for (const proxy of [UNKNOWN_PROXY, NO_PROXY]) {
    const startedAt = performance.now();
    assert.equal(await probeOf([endpoint(silent)], proxy, 5_000).isGone(REGISTRY, true), false);
    assert.ok(performance.now() - startedAt < 3_000, proxy.description);
  }
});

test('an endpoint that was reached is gone if it fails twice over the same route', async (t) => {
  let status = 200;
  const { address } = await startServer(t, (_request, response) => {
    response.writeHead(status).end();
  });
  const endpoints = [endpoint(address)];
  const probe = probeOf(endpoints);
  assert.equal(await probe.isGone(REGISTRY, true), false);
  assert.equal(await probe.answers(REGISTRY), true);
  status = 503;
  await forgotten(probe);
  assert.equal(await probe.isGone(REGISTRY, true), true);
  // The same address over another route was not reached yet.
  endpoints[0] = endpoint(`${address}`, { baseUrl: `http://${address}/other/v2` });
  await forgotten(probe);
  assert.equal(await probe.isGone(REGISTRY, true), false);
});

test('for a client on another host only a refusal counts', async () => {
  for (const [address, forOthers] of [
    ['127.0.0.1:1', true],
    ['no-such-host.invalid', false],
  ] as const) {
    const probe = probeOf([endpoint(address)], NO_PROXY, 3_000);
    assert.equal(await probe.isGone(REGISTRY, true), true, address);
    assert.equal(await probe.isGone(REGISTRY, false), forOthers, address);
  }
});

test('a registry that refuses connections for less than a second answers', async (t) => {
  let isBack = false;
  const { address } = await startServer(t, (_request, response) => {
    response.writeHead(isBack ? 200 : 503).end();
    setTimeout(() => {
      isBack = true;
    }, 300);
  });
  assert.equal(await probeOf([endpoint(address)]).answers(REGISTRY), true);
});

test('a probe in one run of containerd is no proof in the next', async (t) => {
  let status = 200;
  const { address } = await startServer(t, (_request, response) => {
    response.writeHead(status).end();
  });
  for (const first of [UNKNOWN_PROXY, NO_PROXY]) {
    let proxy = inRun(first, '1');
    const probe = probeBy(() => proxy, [endpoint(address)]);
    status = 200;
    assert.equal(await probe.answers(REGISTRY), true);
    status = 503;
    await forgotten(probe);
    assert.equal(await probe.isGone(REGISTRY, true), true);
    proxy = inRun(first, '2');
    assert.equal(probe.known(REGISTRY), undefined);
    assert.equal(await probe.isGone(REGISTRY, true), false);
  }
});

test('a probe during a restart of containerd proves nothing for the new run', async (t) => {
  let proxy = proxyOf({}, '1');
  let status = 200;
  const { address } = await startServer(t, async (_request, response) => {
    // containerd restarts while the answer is on its way.
    proxy = inRun(proxy, '2');
    response.writeHead(status).end();
  });
  const reached = probeBy(() => proxy, [endpoint(address)]);
  assert.equal(await reached.answers(REGISTRY), true);
  status = 503;
  assert.equal(await reached.isGone(REGISTRY, true), false);

  proxy = proxyOf({}, '1');
  const gone = probeBy(() => proxy, [endpoint('127.0.0.1:1')]);
  assert.equal(await gone.isGone(REGISTRY, true), true);
  proxy = inRun(proxy, '2');
  assert.equal(await gone.isGone(REGISTRY, true), false);
});

test('a registry is not gone if one of its endpoints may answer', async (t) => {
  const failing = await startServer(t, (_request, response) => response.writeHead(503).end());
  const endpoints = [endpoint('127.0.0.1:1'), endpoint(failing.address)];
  assert.equal(await probeOf(endpoints, NO_PROXY).isGone(REGISTRY, true), false);
});

/** Waits until the probe asks again. */
async function forgotten(probe: RegistryProbe): Promise<void> {
  for (let waited = 0; probe.known(REGISTRY) !== undefined; waited += 100) {
    assert.ok(waited < 15_000, 'the answer is never forgotten');
    await delay(100);
  }
}

test('no request goes to a link-local address', async () => {
  const parts = {
    client: clientWith(NO_PROXY),
    endpointsOf: async () => assert.fail('looked for a way'),
    proxy: { containerdProxy: () => NO_PROXY },
    log: silentLogger,
  };
  for (const registry of [
    '169.254.169.254',
    '169.254.169.254:80',
    '[fe80::1]:5000',
    '0.0.0.0:5000',
  ]) {
    assert.equal(await new RegistryProbe(parts).answers(registry), false, registry);
  }
});
