/**
 * Who may take part in a network is a decision of the person who installs, and a key is never lost
 * by a flag.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { unnamedKeyFile } from '../../../cmd/settings/unnamed-key-file.ts';
import { SpegelError } from '../../../lib/base/errors.ts';
import {
  decideNetwork,
  type NetworkDecision,
  type NetworkFlags,
} from '../../../lib/install/settings/network-decision.ts';
import { joinCommand } from '../../../lib/install/settings/other-hosts.ts';
import { printed } from '../../../lib/install/system/finding.ts';
import { parseNetworkKeys } from '../../../lib/network-key/file.ts';
import type { Variables } from '../../../lib/proxy/go-proxy.ts';

const OLD = `${'1a'.repeat(32)}\n`;
const OTHER = `${'2b'.repeat(32)}\n`;

/** A host of its own: what is decided there, of flags and settings. */
function host(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'spegel-decision-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const keyPath = join(directory, 'network.key');
  const from = join(directory, 'from');
  const write = (path: string, text: string) => writeFileSync(path, text, { mode: 0o600 });
  const decide = (
    flags: Partial<NetworkFlags>,
    settings: Variables = {},
    { isInstalled = false, input = '' } = {},
  ) => {
    const none = { isKeyNew: false, keyFrom: undefined, isOpen: false };
    const state = { isInstalled, settings, keyPath };
    return decideNetwork({ ...none, ...flags }, state, () => Promise.resolve(input));
  };
  return { keyPath, from, write, decide };
}

const told = ({ findings }: NetworkDecision) =>
  findings.map(({ kind, about }) => `${kind} ${about}`);

function assertNothing({ set, file }: NetworkDecision): void {
  assert.deepEqual([set, file], [{}, undefined]);
}

test('a new host without a decision is told the three, none of which is run by a script', async (t) => {
  const { decide } = host(t);
  const decision = await decide({});
  assertNothing(decision);
  assert.deepEqual(told(decision), ['obstacle network-decision']);
  const [finding] = decision.findings;
  assert.ok(finding);
  const { lines, commands } = printed(finding, 'spegel');
  for (const [index, flag] of [
    '--new-network-key',
    '--network-key-file',
    '--open-network',
  ].entries()) {
    assert.ok(lines[index]?.startsWith(flag), flag);
  }
  assert.deepEqual(commands, []);
});

test('several decisions are none', async (t) => {
  const { decide } = host(t);
  const isUsage = (error: SpegelError) => error instanceof SpegelError && error.exitCode === 2;
  await assert.rejects(decide({ isKeyNew: true, isOpen: true }), isUsage);
  await assert.rejects(decide({ keyFrom: '-', isOpen: true }, {}, { input: OLD }), isUsage);
});

test('--new-network-key makes a file of one key, and no second one over it', async (t) => {
  const { decide, keyPath, write } = host(t);
  const { set, file, findings } = await decide({ isKeyNew: true });
  assert.deepEqual([set, findings], [{ NETWORK_KEY_FILE: keyPath }, []]);
  assert.deepEqual([file?.path, file?.mode], [keyPath, 0o600]);
  const text = String(file?.content);
  assert.equal(parseNetworkKeys('x', text).length, 1);
  const again = await decide({ isKeyNew: true });
  assert.notEqual(String(again.file?.content), text);
  write(keyPath, OLD);
  for (const settings of [{}, { NETWORK_KEY_FILE: keyPath }]) {
    const refused = await decide({ isKeyNew: true }, settings);
    assertNothing(refused);
    assert.deepEqual(told(refused), ['obstacle network']);
  }
});

test('--network-key-file takes a file or standard input, and only the key that is there already', async (t) => {
  const { decide, keyPath, from, write } = host(t);
  write(from, OLD);
  for (const [keyFrom, input] of [
    [from, ''],
    ['-', OLD],
  ] as const) {
    const { set, file } = await decide({ keyFrom }, {}, { input });
    assert.deepEqual(set, { NETWORK_KEY_FILE: keyPath });
    assert.deepEqual([file?.path, file?.mode, file?.content], [keyPath, 0o600, OLD]);
  }
  for (const input of ['', 'no key\n', OLD + OLD]) {
    await assert.rejects(decide({ keyFrom: '-' }, {}, { input }), {
      code: 'ERR_NETWORK_KEY',
      message: /^network key file \(standard input\): expected .*; give it .* --new-network-key$/,
    });
  }
  chmodSync(from, 0o644);
  await assert.rejects(decide({ keyFrom: from }), { message: /chmod 600/ });
  write(keyPath, `# same\n${OLD}`);
  const same = await decide({ keyFrom: '-' }, {}, { input: OLD });
  assert.deepEqual([same.set, same.file], [{ NETWORK_KEY_FILE: keyPath }, undefined]);
  const closed = { NETWORK_KEY_FILE: keyPath };
  assertNothing(await decide({ keyFrom: '-' }, closed, { input: OLD, isInstalled: true }));
  const other = await decide({ keyFrom: '-' }, closed, { input: OTHER, isInstalled: true });
  assertNothing(other);
  assert.match(other.findings[0]?.message ?? '', /expected the key that .* has, got another/);
  assert.equal(readFileSync(keyPath, 'utf8'), `# same\n${OLD}`);
});

test('a host that has a key is opened by no flag, and a former one is closed again', async (t) => {
  const { decide, keyPath, write } = host(t);
  write(keyPath, OLD);
  const again = await decide({});
  assert.deepEqual([again.set, again.file], [{ NETWORK_KEY_FILE: keyPath }, undefined]);
  assert.deepEqual(told(again), ['note network']);
  const settings = { NETWORK_KEY_FILE: `${keyPath}.elsewhere` };
  for (const named of [{}, settings]) {
    const refused = await decide({ isOpen: true }, named, { isInstalled: true });
    assertNothing(refused);
    assert.deepEqual(told(refused), ['obstacle network']);
  }
  assertNothing(await decide({}, settings));
  // A setting that names another file, which is gone, is as closed: no daemon starts with it.
  assert.ok(!existsSync(settings.NETWORK_KEY_FILE));
});

test('an open network is decided once, and closed by a later call', async (t) => {
  const { decide, keyPath } = host(t);
  const open = await decide({ isOpen: true });
  assert.deepEqual([open.set, open.findings], [{ OPEN_NETWORK: 'true' }, []]);
  for (const isInstalled of [true, false]) {
    const kept = await decide({}, open.set, { isInstalled });
    assertNothing(kept);
    assert.deepEqual(kept.findings, []);
  }
  assertNothing(await decide({ isOpen: true }, open.set, { isInstalled: true }));
  const { set } = await decide({ isKeyNew: true }, open.set, { isInstalled: true });
  assert.deepEqual(set, { NETWORK_KEY_FILE: keyPath, OPEN_NETWORK: 'false' });
});

test('a host of an older release stays open, and one line says how it is closed', async (t) => {
  const { decide } = host(t);
  const isInstalled = true;
  const decision = await decide({}, {}, { isInstalled });
  assertNothing(decision);
  assert.deepEqual(told(decision), ['note network']);
  assert.match(
    decision.findings[0]?.message ?? '',
    /is open, .*--new-network-key' on one host closes it/,
  );
});

test('a key file that no setting names closes the network, unless that is open on purpose', async (t) => {
  const { decide, keyPath, write } = host(t);
  assert.equal(unnamedKeyFile({}, keyPath), undefined);
  write(keyPath, OLD);
  const decision = await decide({}, {}, { isInstalled: true });
  assert.deepEqual(decision.set, { NETWORK_KEY_FILE: keyPath });
  assert.match(decision.findings[0]?.message ?? '', /is there, and no setting names it/);
  // As the service itself has it, also without its settings.
  assert.equal(unnamedKeyFile({ OPEN_NETWORK: 'false' }, keyPath), keyPath);
  const open = { OPEN_NETWORK: 'true' };
  assert.equal(unnamedKeyFile(open, keyPath), undefined);
  assertNothing(await decide({}, open, { isInstalled: true }));
});

test('the line for the other hosts pipes the key, and says where the first host is', async () => {
  const own = { ADVERTISE_ADDRESS: '10.0.0.1' };
  const port = { isNew: true, routerPort: 5011 };
  const fetch = 'ssh root@10.0.0.1 cat /k | ';
  assert.equal(
    await joinCommand('/k', own, port),
    `${fetch}./spegel install --network-key-file=- --static-bootstrap-peers=10.0.0.1:5011`,
  );
  const dns = { ...own, BOOTSTRAP_KIND: 'dns', DNS_BOOTSTRAP_DOMAIN: 's.example.com' };
  assert.equal(
    await joinCommand('/k', dns, port),
    `${fetch}./spegel install --network-key-file=- --bootstrap-kind=dns --dns-bootstrap-domain=s.example.com`,
  );
  assert.equal(
    await joinCommand('/k', dns, { ...port, isNew: false }),
    `${fetch}spegel install --network-key-file=-`,
  );
  // Without a word about its address, whatever this machine has.
  assert.match(await joinCommand('/k', {}, port), /^ssh root@[^ ]+ cat \/k \| /);
});
