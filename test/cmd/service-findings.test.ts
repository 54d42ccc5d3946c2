/** What keeps the services from running with their environment file, or does not count in it. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { environmentFile } from '../../cmd/environment-file.ts';
import { lookAtSettings } from '../../cmd/service-findings.ts';
import { parseEnvironmentFile } from '../../lib/base/environment-file.ts';
import { ODD_ENVIRONMENT_FILE } from '../support/odd-environment.ts';
import { run } from './support.ts';

const look = (text: string) => lookAtSettings(parseEnvironmentFile(text), text);
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
  const { host, findings } = await look('ROUTER_ADDR=x\nREGISTRY_ADDR=:5010\n');
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
  assert.equal((await told(text))[0]?.about, 'network-key');
  const identity = join(dir, 'private.key');
  writeFileSync(identity, 'x', { mode: 0o640 });
  assert.deepEqual((await told(`DATA_DIR=${dir}`))[0]?.lines, [`chmod 600 ${identity}`]);
  chmodSync(identity, 0o600);
  assert.deepEqual(await told(`DATA_DIR=${dir}`), []);
  assert.match((await told('DATA_DIR=/home/x'))[0]?.message ?? '', /neither \/home nor \/root/);
  const [missing] = await told(`STATIC_BOOTSTRAP_PEERS_FILE=${dir}/none`);
  assert.deepEqual([missing?.kind, missing?.about], ['advice', 'settings']);
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
