import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run, settingsOf } from './support.ts';

const peersOf = async (args: readonly string[], env?: Record<string, string>) =>
  (await settingsOf(args, env)).bootstrap.staticPeers.map(({ host, port }) => `${host}:${port}`);

test('a list takes words, commas, repetition and all of them at once', async () => {
  const abc = ['a:1', 'b:2', 'c:3'];
  const flag = '--static-bootstrap-peers';
  const spellings = [
    [flag, 'a:1', 'b:2', 'c:3'],
    [flag, 'a:1,b:2,c:3'],
    [`${flag}=a:1,b:2,c:3`],
    [flag, 'a:1', flag, 'b:2', `${flag}=c:3`],
    [flag, 'a:1,b:2', 'c:3'],
    [flag, ' a:1 , b:2', 'c:3,', '--parallel-fetch'],
    [flag, 'a:1', 'b:2', '--log-level', 'INFO', flag, 'c:3', 'a:1'],
  ];
  for (const words of spellings) assert.deepEqual(await peersOf(words), abc, words.join(' '));
});

test('a list in the environment is taken apart at commas and spaces', async () => {
  for (const text of ['a:1,b:2', 'a:1 b:2', ' a:1,\n b:2 ']) {
    assert.deepEqual(await peersOf([], { STATIC_BOOTSTRAP_PEERS: text }), ['a:1', 'b:2']);
  }
});

test('a list flag without values empties the list, over the environment too', async () => {
  const env = { STATIC_BOOTSTRAP_PEERS: 'a:1' };
  assert.deepEqual(await peersOf(['--static-bootstrap-peers'], env), []);
  assert.deepEqual(await peersOf(['--static-bootstrap-peers='], env), []);
  assert.deepEqual(await peersOf(['--static-bootstrap-peers', '--parallel-fetch'], env), []);
});

test('a switch stands alone or has a value; of repeated flags the last one counts', async () => {
  const parallel = async (...args: string[]) => (await settingsOf(args)).parallelFetch;
  assert.equal(await parallel('--parallel-fetch'), true);
  assert.equal(await parallel('--parallel-fetch', '--log-level', 'INFO'), true);
  assert.equal(await parallel('--parallel-fetch=1'), true);
  assert.equal(await parallel('--parallel-fetch=F'), false);
  assert.equal(await parallel('--parallel-fetch', '--parallel-fetch=false'), false);
  const settings = await settingsOf(['--registry-addr', ':1', '--registry-addr=:2']);
  assert.equal(settings.registryAddress.port, 2);
});

test('--log-level may stand in front of the command, as in Go Spegel', async () => {
  const level = async (...argv: string[]) => (await run(argv)).settings?.logLevel;
  assert.equal(await level('--log-level', 'WARN', 'registry'), 'WARN');
  assert.equal(await level('--log-level=WARN', 'registry', '--log-level', 'ERROR'), 'ERROR');
  assert.equal(await level('-log-level=warn', 'registry'), 'WARN');
});

test('all registries, in each of the ways to say it', async () => {
  for (const args of [
    [],
    ['--mirrored-registries', '*'],
    ['--mirrored-registries', '_default', 'ghcr.io'],
  ]) {
    assert.deepEqual((await settingsOf(args)).mirroredRegistries, []);
  }
});

test('* among the namespaces is all of them', async () => {
  const { store } = await settingsOf(['--containerd-namespace', 'k8s.io', '*']);
  assert.deepEqual(store.kind === 'containerd' && store.namespaces, ['*']);
});

test('a path is made absolute, an empty data directory stays empty', async () => {
  assert.equal((await settingsOf(['--data-dir', 'here'])).dataDir, `${process.cwd()}/here`);
  assert.equal((await settingsOf(['--data-dir='])).dataDir, '');
});

test('an empty variable counts where empty means something, or must not go unnoticed', async () => {
  const { dataDir, registryAddress } = await settingsOf([], { DATA_DIR: '', REGISTRY_ADDR: '' });
  assert.deepEqual([dataDir, registryAddress.port], ['', 5000]);
  const { status, stderr } = await run(['registry'], { NETWORK_KEY_FILE: '' });
  assert.equal(status, 2);
  assert.match(stderr, /NETWORK_KEY_FILE: expected a path/);
});

test('--resolve-latest-tag is deprecated, whatever it says, and false is the filter', async () => {
  for (const [value, filters] of [
    ['true', 0],
    ['false', 1],
  ] as const) {
    const { stderr, settings } = await run(['registry', `--resolve-latest-tag=${value}`]);
    assert.match(stderr, /"level":"WARN".*deprecated.*:latest\$/);
    assert.equal(settings?.registryFilters.length, filters);
  }
  assert.doesNotMatch((await run(['registry'])).stderr, /deprecated/);
});

test('the proxy variables go to the daemon, the rest of the environment does not', async () => {
  const env = { HTTPS_PROXY: 'http://p', no_proxy: '.local', HTTP_PROXY: '', SECRET: 'x' };
  assert.deepEqual((await settingsOf([], env)).proxyEnvironment, {
    HTTPS_PROXY: 'http://p',
    no_proxy: '.local',
    HTTP_PROXY: '',
  });
});

const combinations: Record<string, [string[], RegExp]> = {
  'oci-layout without a path': [['--content-store=oci-layout'], /expected --oci-layout-path/],
  'a path without oci-layout': [['--oci-layout-path=/x'], /expected --content-store oci-layout/],
  'one port twice': [
    ['--router-addr=:5000'],
    /--registry-addr and --router-addr: expected two ports, got 5000/,
  ],
  'one port twice, one host wider': [
    ['--metrics-addr=10.0.0.1:5001'],
    /--router-addr and --metrics-addr/,
  ],
  'one port twice, both families': [
    ['--registry-addr=[::]:7', '--metrics-addr=1.2.3.4:7'],
    /two ports/,
  ],
  'dns without a domain': [['--bootstrap-kind=dns'], /dns: expected --dns-bootstrap-domain/],
  'http with nothing to ask and nowhere to serve': [
    ['--bootstrap-kind=static,http', '--http-bootstrap-addr='],
    /http: expected --http-bootstrap-url or --http-bootstrap-addr/,
  ],
  'one port twice, to tell the first peers': [
    ['--bootstrap-kind=http', '--metrics-addr=:5002'],
    /--metrics-addr and --http-bootstrap-addr: expected two ports, got 5002/,
  ],
};
for (const [name, [args, message]] of Object.entries(combinations)) {
  test(`refused together: ${name}`, async () => {
    const { status, stderr } = await run(['registry', ...args]);
    assert.equal(status, 2);
    assert.match(stderr, message);
  });
}

test('an option of a kind that is not named is used in vain, and the log says so', async () => {
  const given = [
    ['--static-bootstrap-peers', '10.0.0.1', 'static'],
    ['--static-bootstrap-peers-file', '/etc/peers', 'static'],
    ['--dns-bootstrap-domain', 'a.example', 'dns'],
    ['--http-bootstrap-addr', ':7', 'http'],
    ['--http-bootstrap-url', 'http://10.0.0.1', 'http'],
    ['--http-bootstrap-peer', 'http://10.0.0.1', 'http'],
  ] as const;
  for (const [flag, value, kind] of given) {
    const { stderr } = await run(['registry', '--bootstrap-kind=mdns', flag, value]);
    const line = `"${flag} is not used: --bootstrap-kind does not name ${kind}"`;
    assert.ok(stderr.includes('"level":"WARN"') && stderr.includes(line), stderr);
  }
  assert.doesNotMatch((await run(['registry', '--bootstrap-kind=mdns'])).stderr, /not used/);
  const all = given.flatMap((words) => words.slice(0, 2));
  const named = await run(['registry', '--bootstrap-kind', 'static', 'dns', 'http', ...all]);
  assert.doesNotMatch(named.stderr, /not used/);
});

test('a port that no kind serves may be another part’s', async () => {
  const { bootstrap } = await settingsOf(['--metrics-addr=:5002']);
  assert.equal(bootstrap.httpAddress, undefined);
});

test('one port at two addresses is two ports, and port 0 is never the same', async () => {
  const fine = [
    ['--registry-addr=10.0.0.1:7', '--router-addr=10.0.0.2:7', '--metrics-addr=[::1]:7'],
    ['--registry-addr=0.0.0.0:7', '--router-addr=[fd00::1]:7'],
    ['--registry-addr=:0', '--router-addr=:0', '--metrics-addr=:0'],
  ];
  for (const args of fine) await settingsOf(args);
});

test('who is mirrored follows from the network unless it is said', async () => {
  const of = async (...args: string[]) => (await settingsOf(args)).mirrorClients;
  assert.equal(await of(), 'any');
  assert.equal(await of('--network-key-file', '/key'), 'host');
  assert.equal(await of('--network-key-file', '/key', '--mirror-clients', 'any'), 'any');
  assert.equal(await of('--mirror-clients', 'HOST'), 'host');
  const opened = ['registry', '--network-key-file', '/key', '--mirror-clients', 'any'];
  assert.match(
    (await run(opened)).stderr,
    /"WARN".*whoever reaches the registry gets what the closed/,
  );
  assert.doesNotMatch((await run(opened.slice(0, 3))).stderr, /whoever reaches/);
  for (const wrong of [
    ['any', '10.0.3.0/24'],
    ['10.0.3.0/24', 'host'],
    ['any', 'host'],
  ]) {
    const { status, stderr } = await run(['registry', '--mirror-clients', ...wrong]);
    assert.equal(status, 2, stderr);
    assert.match(
      stderr,
      /--mirror-clients: expected any, host or addresses, got (any|host) beside/,
    );
  }
});
