import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { silentLogger } from '../../lib/base/log.ts';
import type { RegistryEndpoint } from '../../lib/hosts/registry-endpoints.ts';
import { TagProbe } from '../../lib/upstream/tag-probe.ts';
import { listenLocally } from '../support/listen.ts';
import { clientWith, endpoint, MANIFEST_HEADERS, startServer } from './support.ts';

const TAG = { registry: 'example.com', repository: 'test/app', tag: 'v1' };

function tagProbeOf(...endpoints: RegistryEndpoint[]): TagProbe {
  const parts = { client: clientWith(), endpointsOf: async () => endpoints, log: silentLogger };
  return new TagProbe(parts, { timeoutMs: 500 });
}

/** The result of a probe of a registry that answers so. */
async function probeOf(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  more: Partial<RegistryEndpoint> = {},
) {
  const { address, asked } = await startServer(t, answer);
  const { verdict, reason } = await tagProbeOf(endpoint(address, more)).probe(TAG);
  return { verdict, reason, asked, address };
}

test('a status tells whether the registry has the tag', async (t) => {
  const cases = [
    [200, 'answers', undefined],
    [401, 'denies', 'unauthorized'],
    [403, 'denies', 'forbidden'],
    [400, 'denies', 'invalid'],
    [429, 'fails', 'rate_limited'],
    [500, 'fails', 'server_error'],
    [503, 'fails', 'server_error'],
  ] as const;
  for (const [status, verdict, reason] of cases) {
    const found = await probeOf(t, (_request, response) => {
      response.writeHead(status, MANIFEST_HEADERS).end();
    });
    assert.deepEqual([found.verdict, found.reason], [verdict, reason], String(status));
    assert.deepEqual(found.asked, ['HEAD /v2/test/app/manifests/v1']);
  }
});

test('a sign-in page with status 200 does not have the tag', async (t) => {
  const page = await probeOf(t, (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' }).end();
  });
  assert.equal(page.verdict, 'denies');
});

test('404 counts in a repository that everyone may read', async (t) => {
  const cases = [
    // manifests, tags/list, ping
    [404, 200, 401, 'answers'],
    [404, 404, 200, 'answers'],
    [404, 404, 401, 'denies'],
    [404, 401, 401, 'denies'],
  ] as const;
  for (const [manifest, list, ping, verdict] of cases) {
    const found = await probeOf(t, ({ url = '' }, response) => {
      const status = url.includes('/manifests/') ? manifest : url.includes('/tags/') ? list : ping;
      response.writeHead(status).end();
    });
    assert.equal(found.verdict, verdict, `${manifest} ${list} ${ping}`);
  }
  const mirror = await probeOf(t, (_request, response) => response.writeHead(404).end(), {
    needsNs: true,
  });
  assert.equal(mirror.verdict, 'fails', 'a mirror sends containerd on');
  assert.deepEqual(mirror.asked, ['HEAD /v2/test/app/manifests/v1?ns=example.com']);
});

test('the anonymous token that a registry asks for is fetched', async (t) => {
  const seen: (string | undefined)[] = [];
  const tokens = await startServer(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.end(JSON.stringify({ token: 'for-everybody' }));
  });
  const { verdict, asked } = await probeOf(t, (request, response) => {
    if (request.headers.authorization === 'Bearer for-everybody') {
      response.writeHead(200, MANIFEST_HEADERS).end();
      return;
    }
    const challenge = `Bearer realm="http://${tokens.address}/token?a=1",service="registry.example",scope="repository:test/app:pull"`;
    response.writeHead(401, { 'WWW-Authenticate': challenge }).end();
  });
  assert.equal(verdict, 'answers');
  assert.deepEqual(tokens.asked, [
    'GET /token?a=1&service=registry.example&scope=repository%3Atest%2Fapp%3Apull',
  ]);
  assert.deepEqual(seen, [undefined]);
  assert.equal(asked.length, 2);
});

test('a refusal or silence of the token server is no answer of the registry', async (t) => {
  const refusing = await startServer(t, (_request, response) => response.writeHead(403).end());
  const silent = await startServer(t, () => {});
  const limiting = await startServer(t, (_request, response) => response.writeHead(429).end());
  const broken = await startServer(t, (_request, response) => response.writeHead(503).end());
  for (const [tokens, verdict] of [
    [refusing, 'denies'],
    [silent, 'fails'],
    [limiting, 'fails'],
    [broken, 'fails'],
  ] as const) {
    const found = await probeOf(t, (_request, response) => {
      const challenge = `Bearer realm="http://${tokens.address}/token"`;
      response.writeHead(401, { 'WWW-Authenticate': challenge }).end();
    });
    assert.equal(found.verdict, verdict);
  }
});

test('a refusal, silence and garbage are no answer, within the timeout', async (t) => {
  const tcp = (answer: Parameters<typeof createTcpServer>[1]) =>
    listenLocally((stop) => t.after(stop), createTcpServer(answer));
  const cases = [
    ['127.0.0.1:1', 'refused'],
    [await tcp(() => {}), 'timeout'],
    [await tcp((socket) => socket.destroy()), 'closed'],
    [await tcp((socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')), 'invalid'],
  ] as const;
  for (const [address, reason] of cases) {
    const startedAt = performance.now();
    const result = await tagProbeOf(endpoint(address)).probe(TAG);
    assert.deepEqual([result.verdict, result.reason], ['fails', reason], result.message);
    assert.ok(performance.now() - startedAt < 2_000, address);
  }
});

test('the best endpoint counts, and one that may not resolve tags is not asked', async (t) => {
  const away = endpoint('127.0.0.1:1');
  const there = await startServer(t, (_request, response) => {
    response.writeHead(200, MANIFEST_HEADERS).end();
  });
  assert.equal((await tagProbeOf(away, endpoint(there.address)).probe(TAG)).verdict, 'answers');
  const pullsOnly = endpoint(there.address, { resolves: false });
  assert.equal((await tagProbeOf(away, pullsOnly).probe(TAG)).verdict, 'fails');
});

test('headers of the hosts.toml go to its host, not to redirect targets', async (t) => {
  const seen: (string | undefined)[] = [];
  const other = await startServer(t, (request, response) => {
    seen.push(request.headers['x-secret'] as string | undefined);
    response.writeHead(200, MANIFEST_HEADERS).end();
  });
  const found = await probeOf(
    t,
    (request, response) => {
      seen.push(request.headers['x-secret'] as string | undefined);
      response.writeHead(307, { Location: `http://${other.address}/elsewhere` }).end();
    },
    { headers: { 'X-Secret': ['s3cret'] } },
  );
  assert.equal(found.verdict, 'answers');
  assert.deepEqual(seen, ['s3cret', undefined]);
});

test('a loop of redirects ends', async (t) => {
  const found = await probeOf(t, (request, response) => {
    response.writeHead(302, { Location: request.url }).end();
  });
  assert.equal(found.verdict, 'denies');
  assert.ok(found.asked.length < 10);
});

test('a result is kept for a moment, and one probe runs at a time', async (t) => {
  const { address, asked } = await startServer(t, (_request, response) => {
    response.writeHead(200, MANIFEST_HEADERS).end();
  });
  const check = tagProbeOf(endpoint(address));
  await Promise.all(Array.from({ length: 20 }, () => check.probe(TAG)));
  await check.probe(TAG);
  assert.equal(asked.length, 1);
  await check.probe({ ...TAG, tag: 'v2' });
  assert.equal(asked.length, 2);
});

test('a failed probe is repeated after two seconds, because the registry may be back', async (t) => {
  let status = 503;
  const { address } = await startServer(t, (_request, response) => {
    response.writeHead(status, MANIFEST_HEADERS).end();
  });
  const check = tagProbeOf(endpoint(address));
  assert.equal((await check.probe(TAG)).verdict, 'fails');
  status = 200;
  assert.equal((await check.probe(TAG)).verdict, 'fails');
  await delay(2_100);
  assert.equal((await check.probe(TAG)).verdict, 'answers');
});

test('no message contains the password of a URL', async () => {
  const secret = endpoint('user:s3cret@127.0.0.1:1');
  assert.doesNotMatch((await tagProbeOf(secret).probe(TAG)).message, /s3cret/);
});
