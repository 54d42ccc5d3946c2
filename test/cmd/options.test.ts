import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REGISTRY_OPTIONS } from '../../cmd/options.ts';
import type { DaemonSettings } from '../../lib/daemon.ts';
import { run, settingsOf } from './support.ts';

interface Case {
  readonly flag: string;
  /** A value that is not the default, and what it makes of the settings. */
  readonly good: string;
  readonly makes: unknown;
  readonly of: (settings: DaemonSettings) => unknown;
  /** Values that must be refused, and what the message says was expected. */
  readonly bad: readonly string[];
  readonly expected: RegExp;
  readonly beside?: readonly string[];
}

const containerd = (settings: DaemonSettings) =>
  settings.store.kind === 'containerd' ? settings.store : undefined;
const addresses = [
  '',
  '5000',
  'localhost',
  ':',
  ':x',
  ':65536',
  ':-1',
  '1.2.3:80',
  '::1:80',
  '[::1]',
  '[x]:1',
  'host.example:80',
  ':5000 ',
  '[fe80::1%lo]:80',
  '*:80',
  '1.2.3.4:80:80',
  ':123456',
];
const bools = ['yes', 'on', 'TrUe', '2', ''];

const cases: readonly Case[] = [
  {
    flag: '--registry-addr',
    good: '127.0.0.1:80',
    makes: { host: '127.0.0.1', port: 80 },
    of: (s) => s.registryAddress,
    bad: addresses,
    expected: /an address such as :5000/,
  },
  {
    flag: '--router-addr',
    good: '[::1]:65535',
    makes: { host: '::1', port: 65535 },
    of: (s) => s.routerAddress,
    bad: addresses,
    expected: /an address such as/,
  },
  {
    flag: '--metrics-addr',
    good: 'localhost:0',
    makes: { host: '127.0.0.1', port: 0 },
    of: (s) => s.metricsAddress,
    bad: addresses,
    expected: /an address such as/,
  },
  {
    flag: '--advertise-address',
    good: 'FD00:0::7',
    makes: ['fd00::7'],
    of: (s) => s.advertiseAddresses,
    bad: ['host', '0.0.0.0', '::', '1.2.3', '224.0.0.1', 'ff02::1', 'fe80::1%eth0', '1.2.3.4:5'],
    expected: /an IP address of this host/,
  },
  {
    flag: '--content-store',
    good: 'OCI-layout',
    makes: 'oci-layout',
    of: (s) => s.store.kind,
    bad: ['docker', ''],
    expected: /containerd or oci-layout/,
    beside: ['--oci-layout-path', '/x'],
  },
  {
    flag: '--oci-layout-path',
    good: '/a/../b/',
    makes: { kind: 'oci-layout', path: '/b' },
    of: (s) => s.store,
    bad: ['', 'a\0b'],
    expected: /a path/,
    beside: ['--content-store', 'oci-layout'],
  },
  {
    flag: '--containerd-sock',
    good: 'unix:///run/c.sock',
    makes: '/run/c.sock',
    of: (s) => containerd(s)?.socket,
    bad: [''],
    expected: /a path/,
  },
  {
    flag: '--containerd-namespace',
    good: 'moby',
    makes: ['moby'],
    of: (s) => containerd(s)?.namespaces,
    bad: ['a/b', '-a', 'a--b', 'x'.repeat(77)],
    expected: /a containerd namespace such as k8s.io/,
  },
  {
    flag: '--containerd-content-path',
    good: '/content',
    makes: '/content',
    of: (s) => containerd(s)?.contentPath,
    bad: [''],
    expected: /a path/,
  },
  {
    flag: '--data-dir',
    good: '/data',
    makes: '/data',
    of: (s) => s.dataDir,
    bad: ['a\0'],
    expected: /a path/,
  },
  {
    flag: '--mirrored-registries',
    good: 'https://Docker.io',
    makes: ['docker.io'],
    of: (s) => s.mirroredRegistries,
    expected: /a registry such as https:\/\/docker.io/,
    bad: [
      'ftp://docker.io',
      'https://docker.io/v2',
      'https://docker.io/',
      'https://u:p@docker.io',
      'https://docker.io?x=1',
      'docker.io#x',
      'https://',
      'fd00::1',
      'docker.io:70000',
      'https://*.io',
    ],
  },
  {
    flag: '--registry-filters',
    good: ':latest$',
    makes: [/:latest$/u],
    of: (s) => s.registryFilters,
    bad: ['(', '[[:alpha:]]x', 'a**', '(?U)x', '\\pN', '\\Qx\\E', '*'],
    expected: /a regular expression such as/,
  },
  {
    flag: '--resolve-latest-tag',
    good: 'false',
    makes: [/:latest$/u],
    of: (s) => s.registryFilters,
    bad: bools,
    expected: /true or false/,
  },
  {
    flag: '--bootstrap-kind',
    good: 'STATIC',
    makes: [],
    of: (s) => s.staticBootstrapPeers,
    bad: ['dns', ''],
    expected: /expected static/,
  },
  {
    flag: '--static-bootstrap-peers',
    good: '10.0.0.1:5001',
    makes: [{ host: '10.0.0.1', port: 5001, family: undefined, peerId: undefined }],
    of: (s) => s.staticBootstrapPeers,
    bad: ['/ip4/nonsense/tcp/5001', '/ip4/10.0.0.1/udp/5001', '10.0.0.1:0', 'host:99999'],
    expected: /expected a multiaddr/,
  },
  {
    flag: '--mirror-resolve-timeout',
    good: '1s500ms',
    makes: 1500,
    of: (s) => s.resolveTimeoutMs,
    bad: ['200', '', 'abc', '0', '-1s', '31s', '999us', '1d'],
    expected: /a duration/,
  },
  {
    flag: '--mirror-resolve-retries',
    good: '100',
    makes: 100,
    of: (s) => s.resolveRetries,
    bad: ['0', '101', '-1', '1.5', 'x', '', '1e2'],
    expected: /a whole number between 1 and 100/,
  },
  {
    flag: '--containerd-registry-config-path',
    good: '/etc/other/certs.d',
    makes: '/etc/other/certs.d',
    of: (s) => s.registryConfigPath,
    bad: ['a\0b'],
    expected: /a path/,
  },
  {
    flag: '--tag-source',
    good: 'peers',
    makes: 'peers',
    of: (s) => s.tagSource,
    bad: ['both', ''],
    expected: /upstream or peers/,
  },
  {
    flag: '--parallel-fetch',
    good: 'true',
    makes: true,
    of: (s) => s.parallelFetch,
    bad: bools,
    expected: /true or false/,
  },
  {
    flag: '--log-level',
    good: 'debug',
    makes: 'DEBUG',
    of: (s) => s.logLevel,
    bad: ['trace', '', 'INFO+1'],
    expected: /DEBUG or INFO or WARN or ERROR/,
  },
];

test('every option of the table has a case here', () => {
  const flags = Object.values(REGISTRY_OPTIONS).map((option) => option.flag);
  assert.deepEqual(cases.map(({ flag }) => flag).sort(), flags.sort());
});

for (const { flag, good, makes, of, bad, expected, beside = [] } of cases) {
  const env = flag.slice(2).toUpperCase().replaceAll('-', '_');

  test(`${flag}: as a word, with =, with one dash, from ${env}; the flag wins`, async () => {
    const isSwitch = flag === '--parallel-fetch' || flag === '--resolve-latest-tag';
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
    routerAddress: { host: '', port: 5001 },
    metricsAddress: { host: '', port: 9090 },
    store: {
      kind: 'containerd',
      socket: '/run/containerd/containerd.sock',
      namespaces: ['k8s.io', 'default'],
      contentPath: undefined,
    },
    dataDir: '/var/lib/spegel',
    mirroredRegistries: [],
    registryFilters: [],
    resolveTimeoutMs: 200,
    resolveRetries: 3,
    staticBootstrapPeers: [],
    advertiseAddresses: [],
    tagSource: 'upstream',
    registryConfigPath: '/etc/containerd/certs.d',
    parallelFetch: false,
    proxyEnvironment: {},
  } satisfies DaemonSettings);
});
