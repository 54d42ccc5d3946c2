/**
 * Which proxy a program of Go takes for a URL: row by row, and held against Go itself where it is
 * on the machine.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, Agent as HttpAgent, get as httpGet } from 'node:http';
import { Agent as HttpsAgent, get as httpsGet } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inRun, notedProxy, proxyOf, seenVariables } from '../../lib/proxy/containerd-proxy.ts';
import { routeOf, withoutPassword } from '../../lib/proxy/go-proxy.ts';
import { listenLocally } from '../support/listen.ts';

/** NO_PROXY, a URL, and whether it goes through the proxy. */
const ROWS: readonly (readonly [string, string, boolean])[] = [
  ['', 'http://foo.com/', true],
  ['', 'https://foo.com/', true],
  ['foo.com', 'http://foo.com/', false],
  ['foo.com', 'http://bar.foo.com/', false],
  ['foo.com', 'http://barfoo.com/', true],
  ['.foo.com', 'http://foo.com/', true],
  ['.foo.com', 'http://a.foo.com/', false],
  ['*.foo.com', 'http://foo.com/', true],
  ['*.foo.com', 'http://a.foo.com/', false],
  ['foo.com:80', 'http://foo.com/', false],
  ['foo.com:8080', 'http://foo.com/', true],
  ['foo.com:443', 'https://foo.com/', false],
  ['foo.com:443', 'http://foo.com/', true],
  ['foo.com:', 'http://foo.com/', false],
  ['FOO.com', 'http://Foo.COM/', false],
  ['foo.com.', 'http://foo.com/', true],
  ['foo.com', 'http://foo.com./', true],
  ['foo*', 'http://foo.com/', true],
  ['http://foo.com', 'http://foo.com/', true],
  ['foo.com bar.com', 'http://bar.com/', true],
  [' foo.com , bar.com ', 'http://bar.com/', false],
  ['bücher.de', 'http://bücher.de/', false],
  ['bücher.de', 'http://xn--bcher-kva.de/', false],
  ['10.0.0.0/8', 'http://10.1.2.3:5000/', false],
  ['10.1.2.3/8', 'http://10.9.2.3:5000/', false],
  ['10.0.0.0/8', 'http://11.1.2.3:5000/', true],
  ['10.0.0.0/8', 'http://reg.corp/', true],
  ['10.0.0.0/0', 'http://11.1.2.3/', false],
  ['10.0.0.0/33', 'http://10.0.0.0/', true],
  ['10.0.0.0/8:5000', 'http://10.0.0.1:5000/', true],
  ['010.0.0.1', 'http://10.0.0.1/', true],
  ['10.1', 'http://10.1.2.3/', true],
  ['10.1.2.3', 'http://10.1.2.3/', false],
  ['10.1.2.3:5000', 'http://10.1.2.3:5000/', false],
  ['10.1.2.3:5000', 'http://10.1.2.3/', true],
  ['10.1.2.3', 'http://[::ffff:10.1.2.3]/', false],
  ['10.0.0.0/8', 'http://[::ffff:10.1.2.3]/', false],
  ['::ffff:10.1.2.3', 'http://10.1.2.3/', false],
  ['fd00::/8', 'http://[fd00::1]:5000/', false],
  ['fd00::1', 'http://[fd00::1]:5000/', false],
  ['FD00::1', 'http://[fd00::1]:5000/', false],
  ['[fd00::1]:5000', 'http://[fd00::1]:5000/', false],
  ['[fd00::1]:5000', 'http://[fd00::1]/', true],
  ['[fd00::1]', 'http://[fd00::1]:5000/', true],
  ['*', 'https://x/', false],
  ['a, *', 'https://10.1.1.1/', false],
  ['*:80', 'http://x/', true],
  ['.', 'http://foo.com/', true],
  ['*.', 'http://foo.com/', true],
  [':80', 'http://foo.com/', true],
  [',,', 'http://foo.com/', true],
  ['', 'http://localhost:5000/', false],
  ['', 'http://foo.localhost/', true],
  ['', 'http://127.0.0.1:5000/', false],
  ['', 'http://127.8.9.1:5000/', false],
  ['', 'http://[::1]:5000/', false],
  ['', 'http://[::ffff:127.0.0.1]/', false],
  ['', 'http://0.0.0.0/', true],
];

const HTTP = 'http://plain.corp:1';
const HTTPS = 'http://user:pw@secure.corp:2';

for (const [no, url, isProxied] of ROWS) {
  test(`NO_PROXY=${no}: ${url} ${isProxied ? 'by the proxy' : 'directly'}`, () => {
    const route = routeOf(new URL(url), { HTTP_PROXY: HTTP, HTTPS_PROXY: HTTPS, NO_PROXY: no });
    const proxy = `${url.startsWith('https:') ? HTTPS : HTTP}/`;
    const proxyEnv = { HTTP_PROXY: proxy, HTTPS_PROXY: proxy };
    assert.deepEqual(route, isProxied ? { kind: 'proxy', proxyEnv } : { kind: 'direct' });
  });
}

/** Variables, and the proxy of http://reg.corp/. */
const NAMES: Record<string, [Record<string, string>, string]> = {
  'the upper case wins': [{ HTTP_PROXY: 'http://a:1', http_proxy: 'http://b:1' }, 'http://a:1/'],
  'an empty upper case does not': [{ HTTP_PROXY: '', http_proxy: 'http://b:1' }, 'http://b:1/'],
  'lower case alone': [{ http_proxy: 'http://b:1' }, 'http://b:1/'],
  'lower case of the exceptions': [{ HTTP_PROXY: 'http://a:1', no_proxy: 'corp' }, 'direct'],
  'ALL_PROXY is not read': [{ ALL_PROXY: 'http://a:1', all_proxy: 'http://a:1' }, 'direct'],
  'that of the other scheme is not taken': [{ HTTPS_PROXY: 'http://a:1' }, 'direct'],
  'no scheme is http': [{ HTTP_PROXY: 'a.corp:3128' }, 'http://a.corp:3128/'],
  'no scheme, a user': [{ HTTP_PROXY: 'user:pw@a.corp:3128' }, 'http://user:pw@a.corp:3128/'],
  'an address without a scheme': [{ HTTP_PROXY: '10.0.0.1:3128' }, 'http://10.0.0.1:3128/'],
  'a proxy that speaks TLS': [{ HTTP_PROXY: 'https://a:1' }, 'https://a:1/'],
};

for (const [name, [env, proxy]] of Object.entries(NAMES)) {
  test(`variables: ${name}`, () => {
    const route = routeOf(new URL('http://reg.corp/'), env);
    assert.equal(route.kind === 'proxy' ? route.proxyEnv.HTTP_PROXY : route.kind, proxy);
  });
}

test('a proxy that Node cannot speak to, or that is no URL, gives no way', () => {
  for (const proxy of [
    'socks5://a:1',
    'ftp://a:1',
    'http://user:p#w@a:1',
    'http://user:a b@c:1',
    'u:p%zz@h:1',
  ]) {
    const route = routeOf(new URL('http://reg.corp/'), { HTTP_PROXY: proxy });
    assert.deepEqual(route, { kind: 'unusable' }, proxy);
  }
});

test('an Agent of Node with that environment goes by the proxy, with its password', async (t) => {
  const seen: (string | undefined)[] = [];
  const proxy = createServer(({ url, headers }, response) => {
    seen.push(url, headers['proxy-authorization']);
    response.end();
  });
  proxy.on('connect', ({ url, headers }, socket) => {
    seen.push(url, headers['proxy-authorization']);
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
  });
  const address = await listenLocally((stop) => t.after(stop), proxy);
  const env = { HTTP_PROXY: `us%40er:p%3Aw%25@${address}`, https_proxy: address };
  const ask = async (url: string) => {
    const route = routeOf(new URL(url), env);
    assert.ok(route.kind === 'proxy');
    const { proxyEnv } = route;
    const [request, agent] = url.startsWith('https:')
      ? [httpsGet, new HttpsAgent({ proxyEnv })]
      : [httpGet, new HttpAgent({ proxyEnv })];
    await once(
      request(url, { agent }).on('response', (response) => response.resume()),
      'close',
    );
  };
  await ask('http://reg.corp/v2/');
  await assert.rejects(ask('https://reg.corp/v2/'), { code: 'ERR_PROXY_TUNNEL' });
  const login = `Basic ${Buffer.from('us@er:p:w%').toString('base64')}`;
  assert.deepEqual(seen, ['http://reg.corp/v2/', login, 'reg.corp:443', undefined]);
});

test('Go decides alike, row by row', { skip: goMissing() }, (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-go-proxy-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const source = join(dir, 'main.go');
  const program = join(dir, 'main');
  writeFileSync(source, GO);
  execFileSync('go', ['build', '-o', program, source]);
  const proxyOfGo = (env: Record<string, string>, url: string) =>
    execFileSync(program, [url], { env, encoding: 'utf8' });
  for (const [no, url, isProxied] of ROWS) {
    const env = { HTTP_PROXY: HTTP, HTTPS_PROXY: HTTPS, NO_PROXY: no };
    assert.equal(proxyOfGo(env, url) !== 'direct', isProxied, `NO_PROXY=${no} ${url}`);
  }
  for (const [name, [env, proxy]] of Object.entries(NAMES)) {
    assert.equal(proxyOfGo(env, 'http://reg.corp/'), proxy.replace(/\/$/, ''), name);
  }
});

function goMissing(): string | false {
  try {
    execFileSync('go', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'Go is not on this machine';
  }
}

const GO = `package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
)

func main() {
	u, err := url.Parse(os.Args[1])
	if err != nil {
		panic(err)
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil {
		panic(err)
	}
	if proxy == nil {
		fmt.Print("direct")
	} else {
		fmt.Print(proxy)
	}
}
`;

test('what is told of a proxy never has its password', () => {
  const told = {
    'http://proxy:3128': 'http://proxy:3128',
    'proxy:3128': 'http://proxy:3128',
    'http://user:s3cret@proxy:3128': 'http://user:***@proxy:3128',
    'user:s3cret@proxy:3128': 'http://user:***@proxy:3128',
    'http://user@proxy:3128/path?s3cret': 'http://user@proxy:3128',
    'http://:s3cret@proxy:3128': 'http://:***@proxy:3128',
    'http://user:s3c@ret@proxy:3128': 'http://user:***@proxy:3128',
    'socks5://user:s3cret@proxy:1080': 'socks5://user:***@proxy:1080',
    'http://user:s3cret#@proxy:3128': 'unreadable',
    'http://user:s3 cret@proxy:3128': 'unreadable',
    's3cret@:3128': 'unreadable',
  };
  for (const [proxy, text] of Object.entries(told)) assert.equal(withoutPassword(proxy), text);
});

test('what a process was started with is all there is to know', () => {
  assert.deepEqual(proxyOf({ PATH: '/bin', NO_PROXY: '.corp' }), {
    environment: {},
    isNone: true,
    description: 'none',
    run: '',
  });
  assert.deepEqual(proxyOf({ http_proxy: 'http://u:p@a:1', no_proxy: '.corp', HTTPS_PROXY: '' }), {
    environment: { HTTP_PROXY: 'http://u:p@a:1', NO_PROXY: '.corp' },
    isNone: false,
    description: 'http: http://u:***@a:1, https: none',
    run: '',
  });
  const both = proxyOf({ HTTP_PROXY: 'http://u:p@a:1', HTTPS_PROXY: 'http://u:p@a:1' });
  assert.equal(both.description, 'http://u:***@a:1');
});

const told = (env: Record<string, string>) => notedProxy(env).description;

test('that there is none is not known from what was written, only from a look', () => {
  for (const env of [{}, { HTTP_PROXY: '', HTTPS_PROXY: '', NO_PROXY: '' }]) {
    assert.equal(told(env), 'unknown');
    assert.equal(notedProxy(env).isNone, false);
  }
  assert.equal(
    told({ HTTP_PROXY: '', https_proxy: 'http://a:1' }),
    'http: none, https: http://a:1',
  );
});

test('what was seen is handed on as it is, and wins over what was written', () => {
  const written = { HTTP_PROXY: 'http://old:1', https_proxy: 'http://old:1', NO_PROXY: '.old' };
  for (const environment of [{}, { https_proxy: 'http://u:p@a:1', NO_PROXY: '.corp' }]) {
    const seen = proxyOf(environment, '12-34');
    assert.deepEqual(notedProxy({ ...written, ...seenVariables(seen) }), seen);
  }
});

test('in another run of containerd a proxy is still likely, and none is not', () => {
  const [none, one] = [proxyOf({}, '1'), proxyOf({ HTTP_PROXY: 'http://a:1' }, '1')];
  assert.deepEqual([inRun(none, '1'), inRun(one, '1')], [none, one]);
  const { isNone, description, run } = inRun(none, '2');
  assert.deepEqual([isNone, description, run], [false, 'unknown', '2']);
  assert.deepEqual(inRun(one, '2'), { ...one, run: '2' });
});
