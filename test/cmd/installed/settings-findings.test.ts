/** What keeps the services from running with their environment file, or does not count in it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { environmentFile } from '../../../cmd/installed/environment-file.ts';
import { firstPeers } from '../../../cmd/installed/first-peers.ts';
import { nameFindings } from '../../../cmd/installed/name-findings.ts';
import { withRefusedFlags } from '../../../cmd/installed/refused-flags.ts';
import { checkSettings } from '../../../cmd/installed/settings-findings.ts';
import { advice, obstacle, printed } from '../../../lib/install/system/finding.ts';
import { ENVIRONMENT_FILE } from '../../../lib/install/system/layout.ts';
import { parseEnvironmentFile } from '../../../lib/systemd/environment-syntax.ts';
import { ODD_ENVIRONMENT_FILE } from '../../support/odd-environment.ts';
import { run } from '../support.ts';

const look = (text: string) => checkSettings(parseEnvironmentFile(text), text);
const told = async (text: string) => (await look(text)).findings;

test('nothing is said of what is fine', async () => {
  for (const text of [
    '',
    environmentFile(),
    'no_proxy=.corp\nHTTPS_PROXY=http://p:1\nTZ=UTC\n; a comment\n',
    'STATIC_BOOTSTRAP_PEERS=a:1,/ip4/10.0.0.1/tcp/5001\n',
  ]) {
    assert.deepEqual(await told(text), []);
  }
});

test('what ends the daemon at its start is an obstacle, and said as the daemon says it', async () => {
  for (const text of [
    'MIRROR_CLIENTS=host,any',
    'BOOTSTRAP_KIND=dns',
    'BOOTSTRAP_KIND=http\nHTTP_BOOTSTRAP_ADDR=',
    'OCI_LAYOUT_PATH=/tmp',
    'CONTENT_STORE=oci-layout',
    'ROUTER_ADDR=:5000',
    'REGISTRY_FILTERS=(',
    'STATIC_BOOTSTRAP_PEERS=:',
    'NETWORK_KEY_FILE=',
    'ADVERTISE_TTL=5',
  ]) {
    const findings = await told(text);
    assert.deepEqual(
      findings.map(({ kind }) => kind),
      ['obstacle'],
      text,
    );
    const { status, stderr } = await run(['registry'], parseEnvironmentFile(text));
    assert.equal(status, 2, text);
    const [, said = ''] = /^spegel: (.*); see /.exec(stderr) ?? [];
    assert.ok(findings[0]?.message.includes(said), `${findings[0]?.message} says not ${said}`);
  }
});

test('what ends the other service is told too', async () => {
  for (const text of ['DIAL_TIMEOUT=1', 'MIRROR_TARGETS=x', 'MIRRORED_REGISTRIES=https://a/b']) {
    const [finding] = await told(text);
    assert.deepEqual(finding?.kind, 'obstacle', text);
  }
});

test('a wrong value leaves the others as they are set', async () => {
  const { serviceValues: host, findings } = await look('ROUTER_ADDR=x\nREGISTRY_ADDR=:5010\n');
  assert.deepEqual([host.registryAddr.port, host.routerAddr.port], [5010, 5001]);
  assert.match(findings[0]?.message ?? '', /spegel\.env: ROUTER_ADDR: expected an address/);
});

test('a key file that is missing, open to others or no key, and paths that a service does not see', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-key-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'key');
  const text = `NETWORK_KEY_FILE=${path}`;
  assert.match((await told(text))[0]?.message ?? '', /expected a file, got none/);
  writeFileSync(path, `${'ab'.repeat(32)}\n`);
  chmodSync(path, 0o644);
  assert.equal((await told(text))[0]?.lines[0], `chmod 600 ${path}`);
  chmodSync(path, 0o600);
  assert.deepEqual(await told(text), []);
  writeFileSync(path, 'no key');
  const [broken] = await told(text);
  assert.equal(broken?.about, 'network-key');
  // It is about the key's file, not about the settings.
  const { ctime } = statSync(path);
  assert.equal(broken?.since, ctime.toISOString());
  rmSync(path);
  const [lost] = await told(text);
  assert.ok(lost);
  const [make = '', restart] = printed(lost, 'spegel').commands;
  assert.equal(restart, 'systemctl restart spegel');
  assert.equal((await run(make.split(' ').slice(1))).status, 0);
  assert.deepEqual(await told(text), []);
  const identity = join(dir, 'private.key');
  writeFileSync(identity, 'x', { mode: 0o640 });
  assert.deepEqual((await told(`DATA_DIR=${dir}`))[0]?.lines, [`chmod 600 ${identity}`]);
  chmodSync(identity, 0o600);
  assert.deepEqual(await told(`DATA_DIR=${dir}`), []);
  assert.match((await told('DATA_DIR=/home/x'))[0]?.message ?? '', /neither \/home nor \/root/);
  const [missing] = await told(`STATIC_BOOTSTRAP_PEERS_FILE=${dir}/none`);
  assert.deepEqual([missing?.kind, missing?.about], ['advice', 'settings']);
  // The daemon finds it by itself: a restart mends nothing.
  assert.ok(missing && printed(missing, 'spegel').commands.length === 0);
});

test('lines of the peers file that the daemon skips are told', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-peers-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'peers');
  const text = `STATIC_BOOTSTRAP_PEERS_FILE=${path}\n`;
  writeFileSync(path, '# ours\n10.0.0.1:5001\n\n/ip4/10.0.0.2/tcp/5001 # b\n');
  assert.deepEqual(await told(text), []);
  writeFileSync(path, '10.0.0.1:5001\n10.0.0.2:70000\n\nno peer\n');
  const [finding, ...more] = await told(text);
  assert.deepEqual([finding?.kind, finding?.about, more], ['advice', 'peers-file', []]);
  assert.match(
    finding?.message ?? '',
    /line 2 is skipped: expected .*"10\.0\.0\.2:70000"; so are lines 4$/,
  );
  // One that is not read has nobody waiting for it.
  assert.ok((await told(`${text}BOOTSTRAP_KIND=mdns\n`)).every(({ kind }) => kind === 'note'));
  const { listed } = await firstPeers(
    (await look(`${text}STATIC_BOOTSTRAP_PEERS=10.0.0.1\n`)).serviceValues,
  );
  assert.deepEqual(
    listed.map(({ host }) => host),
    ['10.0.0.1'],
  );
});

test('a loopback address where peers are to come is told with what mends it', async () => {
  const peers = 'STATIC_BOOTSTRAP_PEERS=10.0.0.1\n';
  for (const [text, line] of [
    ['REGISTRY_ADDR=127.0.0.1:5010\n', 'spegel install --registry-addr=:5010'],
    [`${peers}ROUTER_ADDR=[::1]:5001\n`, 'spegel install --router-addr=:5001'],
  ] as const) {
    const [finding, ...more] = await told(text);
    assert.deepEqual([finding?.kind, finding?.lines, more], ['advice', [line], []], text);
  }
  const both = 'REGISTRY_ADDR=127.0.0.1:5000\nROUTER_ADDR=127.0.0.1:5001\n';
  assert.equal((await told(peers + both)).length, 2);
  // Nobody is named, and nobody can come: it is to be alone.
  assert.deepEqual(await told(both), []);
});

test('what the flags of a call brought is no matter of the file', async () => {
  const before = await told('MIRROR_CLIENTS=host,any\n');
  const after = await told('MIRROR_CLIENTS=host,any\nDIAL_TIMEOUT=1\n');
  const said = { SPEGEL_DIAL_TIMEOUT: '1' };
  const [flag, file] = withRefusedFlags(after, before, said);
  assert.deepEqual(file, before[0]);
  assert.match(flag?.message ?? '', /^DIAL_TIMEOUT: .*; that comes of --dial-timeout=1: call it/);
  assert.deepEqual([flag?.kind, flag?.lines, flag?.since], ['obstacle', [], undefined]);
  assert.deepEqual(withRefusedFlags(after, before, {}), after);
});

test('of the flags of a call, those are named that the finding is about', async () => {
  const causes = async (flags: Record<string, string>) => {
    const lines = Object.entries(flags).map(([name, value]) => `${name}=${value}\n`);
    const [finding] = withRefusedFlags(await told(lines.join('')), [], flags);
    return /that comes of (.*): call it with/.exec(finding?.message ?? '')?.[1];
  };
  const port = { REGISTRY_ADDR: ':9090' };
  assert.equal(await causes({ ...port, OPEN_NETWORK: 'true' }), '--registry-addr=:9090');
  const two = { ...port, METRICS_ADDR: '127.0.0.1:9090', ADVERTISE_ADDRESS: '10.0.0.7' };
  assert.equal(await causes(two), '--registry-addr=:9090 --metrics-addr=127.0.0.1:9090');
});

test('where a finding names no flag, all of the call are named', () => {
  const finding = obstacle('settings', 'expected something else');
  const [said] = withRefusedFlags([finding], [], { REGISTRY_ADDR: ':1', ROUTER_ADDR: ':2' });
  assert.match(said?.message ?? '', /comes of --registry-addr=:1 --router-addr=:2: call/);
});

test('an option that a drop-in sets is not looked for in the file', async () => {
  const { findings } = await checkSettings({ ROUTER_ADDR: 'x' }, 'REGISTRY_ADDR=:5000\n');
  assert.match(findings[0]?.message ?? '', /^Environment= of a unit, .*: ROUTER_ADDR: expected/);
});

test('the commands for lines that count nowhere leave none of them', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-env-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'env');
  const text = 'A=1\nLOG_LEVEL="\nx"\nwhat\n export ROUTER_ADDR=:1\nROUTER_ADR=:2\r\n';
  writeFileSync(path, text);
  for (const finding of nameFindings(text)) {
    const [edit = ''] = printed(finding, 'spegel').commands;
    assert.match(edit, /^sed -i /);
    execFileSync('sh', ['-c', edit.replace(ENVIRONMENT_FILE, path)]);
  }
  assert.equal(
    readFileSync(path, 'utf8'),
    '# A=1\nLOG_LEVEL="\nx"\n# what\nROUTER_ADDR=:1\nROUTER_ADDR=:2\r\n',
  );
});

test('a regular expression without its backslashes is told, with quotes that keep them', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-env-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'env');
  const wanted = '^docker\\.io/,secret-\\d+';
  for (const end of ['\n', '\r\n']) {
    const text = `X="\n"${end}REGISTRY_FILTERS= ${wanted}${end}`;
    writeFileSync(path, text);
    const finding = nameFindings(text).at(-1);
    assert.ok(finding !== undefined);
    assert.ok(finding.message.endsWith('of which systemd makes ^docker.io/,secret-d+'));
    const [edit = ''] = printed(finding, 'spegel').commands;
    execFileSync('sh', ['-c', edit.replace(ENVIRONMENT_FILE, path)]);
    const after = readFileSync(path, 'utf8');
    assert.equal(after, `X="\n"${end}REGISTRY_FILTERS='${wanted}'${end}`);
    assert.equal(parseEnvironmentFile(after).REGISTRY_FILTERS, wanted);
    assert.deepEqual(nameFindings(after.slice(after.indexOf('REG'))), []);
  }
  for (const fine of ['latest$', "'a\\.b'", '"a\\.b"'])
    assert.deepEqual(nameFindings(`REGISTRY_FILTERS=${fine}\n`), []);
});

test('a command calls the release that advises it', () => {
  const finding = advice('x', 'x', ['spegel install', '# spegel', 'ss -l']);
  assert.deepEqual(printed(finding, '/opt/a b/spegel-1').commands, [
    "'/opt/a b/spegel-1' install",
    'ss -l',
  ]);
  assert.deepEqual(printed(finding, 'spegel').lines, finding.lines);
});

test('names that no service reads are told with the one that was meant, and so is a line that is none', async () => {
  const [typo, stranger, line] = await told(
    'ROUTER_ADR=:1\nDEBUG_WEB_ENABLED=true\nexport REGISTRY_ADDR=:2\n',
  );
  assert.match(typo?.message ?? '', /ROUTER_ADDR is one/);
  assert.match(typo?.lines[0] ?? '', /^sed -i 's\/.*ROUTER_ADR.*ROUTER_ADDR=\//);
  assert.match(stranger?.lines[0] ?? '', /^sed -i '\/.*DEBUG_WEB_ENABLED/);
  assert.match(line?.message ?? '', /"export REGISTRY_ADDR=:2", which systemd passes over/);
  const odd = (await told(ODD_ENVIRONMENT_FILE)).map(({ message }) => message).join('\n');
  assert.match(odd, /"X", which/);
  assert.doesNotMatch(odd, /A1|A2/);
});
