import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REGISTRY_OPTIONS } from '../../cmd/options/registry-options.ts';
import type { DaemonSettings } from '../../lib/daemon.ts';
import { cases } from './option-cases.ts';
import { run, settingsOf } from './support.ts';

const EMPTY_COUNTS = new Set(['--data-dir', '--http-bootstrap-addr', '--network-key-file']);

test('every option of the table has a case here', () => {
  const flags = Object.values(REGISTRY_OPTIONS).map((option) => option.flag);
  assert.deepEqual(cases.map(({ flag }) => flag).sort(), flags.sort());
});

for (const { flag, good, makes, of, bad, expected, beside = [] } of cases) {
  const env = flag.slice(2).toUpperCase().replaceAll('-', '_');

  test(`${flag}: as a word, with =, with one dash, from ${env}; the flag wins`, async () => {
    const isSwitch = ['--parallel-fetch', '--resolve-latest-tag', '--inflight'].includes(flag);
    const spellings = [
      [`${flag}=${good}`],
      [`${flag.slice(1)}=${good}`],
      ...(isSwitch ? [] : [[flag, good]]),
    ];
    for (const words of spellings) {
      assert.deepEqual(of(await settingsOf([...words, ...beside])), makes, words.join(' '));
      assert.deepEqual(of(await settingsOf([...words, ...beside], { [env]: bad[0] })), makes);
    }
    assert.deepEqual(of(await settingsOf(beside, { [env]: good })), makes);
    const plain = flag.endsWith('-store') || flag.endsWith('-layout-path') ? [] : beside;
    // Those where empty means something have a test of their own.
    if (EMPTY_COUNTS.has(flag)) return;
    const unset = of(await settingsOf(plain, { [env]: ' ' }));
    assert.deepEqual(unset, of(await settingsOf(plain)));
  });

  test(`${flag}: refuses what it cannot be, in one line that names its source`, async () => {
    for (const value of bad) {
      const { status, stderr, settings } = await run(['registry', `${flag}=${value}`, ...beside]);
      assert.deepEqual([status, settings], [2, undefined], `${flag}=${value}`);
      assert.match(stderr, /^spegel: --[^\n]+; see 'spegel help registry'\n$/);
      assert.ok(stderr.startsWith(`spegel: ${flag}: expected `) && expected.test(stderr), stderr);
      if (value.trim() === '' || value.includes('\0')) continue;
      const fromEnv = await run(['registry', ...beside], { [env]: value });
      // A list in the environment may be several words; those of a flag are the same text.
      assert.equal(fromEnv.status, 2, `${env}=${value}`);
      assert.ok(fromEnv.stderr.startsWith(`spegel: ${env}: expected `), fromEnv.stderr);
    }
  });
}

test('defaults, as the issue has them', async () => {
  assert.deepEqual(await settingsOf([]), {
    version: 'dev',
    logLevel: 'INFO',
    registryAddress: { host: '', port: 5000 },
    registryDescriptor: undefined,
    routerAddress: { host: '', port: 5001 },
    metricsAddress: { host: '', port: 9090 },
    store: {
      kind: 'containerd',
      socket: '/run/containerd/containerd.sock',
      namespaces: ['k8s.io', 'default'],
      contentPath: undefined,
    },
    runtimeDir: '/run/spegel',
    dataDir: '/var/lib/spegel',
    mirroredRegistries: [],
    registryFilters: [],
    resolveTimeoutMs: 200,
    resolveRetries: 3,
    bootstrap: {
      kinds: ['static'],
      staticPeers: [],
      staticPeersFile: undefined,
      dnsDomain: undefined,
      httpAddress: undefined,
      httpUrls: [],
    },
    advertiseTtlMs: 600_000,
    networkKeyFile: undefined,
    mirrorClients: 'any',
    advertiseAddresses: [],
    tagSource: 'upstream',
    registryConfigPaths: ['/etc/containerd/certs.d'],
    parallelFetch: false,
    inflight: true,
    inflightWaitMs: 2_000,
    minSourceRate: 1_000_000,
    proxyEnvironment: {},
  } satisfies DaemonSettings);
});
