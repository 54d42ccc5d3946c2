import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Outcome, spegel } from './support.ts';

const HARBOR = '[host."https://harbor.corp"]\n';

/** A certs.d with one file of an administrator's, and the executable's commands on it. */
function certsD(t: TestContext) {
  const path = mkdtempSync(join(tmpdir(), 'spegel-certs-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  mkdirSync(join(path, 'quay.io'));
  const file = join(path, 'quay.io/hosts.toml');
  writeFileSync(file, HARBOR);
  const run = (command: string, ...args: string[]): Promise<Outcome> =>
    spegel([command, '--containerd-registry-config-path', path, ...args]);
  return { path, file, run };
}

/** Wrong values, and what the line must say. */
const wrong: Record<string, [string[], RegExp]> = {
  'a registry with a path': [['--mirrored-registries', 'https://a.io/b'], /without path or user/],
  'a registry with a user': [['--mirrored-registries', 'https://x:y@a.io'], /without path or user/],
  'a registry with a query': [['--mirrored-registries', 'https://a.io?x'], /without path or user/],
  'another scheme': [['--mirrored-registries', 'ftp://a.io'], /a registry such as/],
  'IPv6 without brackets': [['--mirrored-registries', 'https://fd00::1'], /a registry such as/],
  'a wildcard twice': [['--mirrored-registries', '_default', '*'], /_default at most once, got 2/],
  'two URLs of one registry': [
    ['--mirrored-registries', 'https://a.io', 'http://a.io'],
    /one URL for a.io, got https:\/\/a.io and http:\/\/a.io/,
  ],
  'a registry that is excluded too': [
    ['--mirrored-registries', '*,a.io', '--excluded-registries', 'a.io'],
    /a registry that --excluded-registries does not name, got a.io/,
  ],
  'all registries excluded': [['--excluded-registries', '*'], /a registry such as/],
  'excluded from a list': [
    ['--mirrored-registries', 'a.io', '--excluded-registries', 'b.io'],
    /--excluded-registries: expected all registries/,
  ],
  'a target without scheme': [['--mirror-targets', '127.0.0.1:5000'], /a URL such as http:/],
  'a target with a path': [['--mirror-targets', 'http://a:1/v2'], /without path or user/],
  'an IPv6 target': [['--mirror-targets', 'http://[::1]:5000'], /containerd 1.x rejects/],
  'no target that follows': [
    ['--registry-addr', '[fd00::7]:5000'],
    /--mirror-targets: expected a URL that leads to --registry-addr \[fd00::7\]:5000, .*got none/,
  ],
  'a port that the system chooses': [['--registry-addr', ':0'], /--mirror-targets: expected/],
  'a dial timeout out of bounds': [['--dial-timeout', '0s'], /a duration between 1ms and 30s/],
};
for (const [name, [args, line]] of Object.entries(wrong)) {
  test(`configuration is refused, and nothing touched: ${name}`, async (t) => {
    const { path, file, run } = certsD(t);
    const { status, stdout, stderr } = await run('configuration', ...args);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /^spegel: [^\n]+; see 'spegel help configuration'\n$/);
    assert.match(stderr, line);
    assert.deepEqual([readdirSync(path), readFileSync(file, 'utf8')], [['quay.io'], HARBOR]);
  });
}

test('configuration and cleanup say what they did, and that there is nothing to do', async (t) => {
  const { path, run } = certsD(t);
  const lines = async (command: string) => {
    const { status, stdout, stderr } = await run(command);
    assert.deepEqual([status, stderr], [0, '']);
    return stdout.replaceAll(path, 'certs.d');
  };
  const both = 'changed certs.d/quay.io/hosts.toml\nadded certs.d/_default/hosts.toml\n';
  assert.equal(await lines('configuration'), both);
  assert.equal(await lines('configuration'), 'nothing to do in certs.d\n');
  const back = 'removed certs.d/_default/hosts.toml\nchanged certs.d/quay.io/hosts.toml\n';
  assert.equal(await lines('cleanup'), back);
  assert.equal(await lines('cleanup'), 'nothing to do in certs.d\n');
});

test('--check and --dry-run print a diff without credentials and write nothing', async (t) => {
  const { path, file, run } = certsD(t);
  const secrets = join(path, 'no registry');
  mkdirSync(secrets);
  writeFileSync(join(secrets, 'username'), 'me\n');
  writeFileSync(join(secrets, 'password'), 'open sesame\n');
  const args = ['--basic-auth-path', secrets];
  const check = await run('configuration', '--check', ...args);
  assert.equal(check.status, 3);
  assert.match(check.stdout, /^\+\[host\."http:\/\/127\.0\.0\.1:5000"\.header\]$/m);
  assert.match(check.stdout, /^\+Authorization = "<hidden>"$/m);
  assert.match(check.stdout, /^ \[host\."https:\/\/harbor\.corp"\]$/m);
  assert.equal(readFileSync(file, 'utf8'), HARBOR);

  const dry = await run('configuration', '--dry-run', '--json', ...args);
  assert.equal(dry.status, 0);
  const { changes, problems } = JSON.parse(dry.stdout);
  assert.deepEqual(problems, []);
  assert.deepEqual(
    changes.map((change: { action: string }) => change.action),
    ['change', 'add'],
  );
  assert.ok(!dry.stdout.includes(Buffer.from('me:open sesame').toString('base64')));

  assert.equal((await run('configuration', ...args)).status, 0);
  const encoded = Buffer.from('me:open sesame').toString('base64');
  assert.ok(readFileSync(file, 'utf8').includes(`Authorization = "Basic ${encoded}"`));
  assert.deepEqual(await run('configuration', '--check', ...args), {
    status: 0,
    stdout: `nothing to do in ${path}\n`,
    stderr: '',
  });
  writeFileSync(join(secrets, 'password'), 'another');
  const changed = await run('configuration', '--check', ...args);
  assert.equal(changed.status, 3);
  assert.match(changed.stdout, /only credentials/);
});

test('basic auth needs both files, in characters that a header can hold', async (t) => {
  const { path, run } = certsD(t);
  const args = ['--basic-auth-path', path];
  writeFileSync(join(path, 'username'), 'me');
  assert.match(
    (await run('configuration', ...args)).stderr,
    /both a file username and a file pass/,
  );
  writeFileSync(join(path, 'password'), 'a\nb');
  const { status, stderr } = await run('configuration', ...args);
  assert.equal(status, 2);
  assert.match(stderr, /one line each/);
});

test('a file that is left alone is named, with status 1, and in JSON', async (t) => {
  const { path, file, run } = certsD(t);
  writeFileSync(file, 'server = \n');
  const { status, stdout, stderr } = await run('configuration');
  assert.deepEqual([status, stdout], [1, `added ${path}/_default/hosts.toml\n`]);
  assert.match(
    stderr,
    /^spegel: .*\/quay\.io\/hosts\.toml: left alone: expected TOML, got [^\n]+\n$/,
  );
  const json = JSON.parse((await run('configuration', '--json')).stdout);
  assert.deepEqual([json.changes, json.problems[0].path], [[], file]);
});

test('every file is left alone: status 5, which no unit takes for success', async (t) => {
  const { path, file, run } = certsD(t);
  mkdirSync(join(path, '_default'));
  for (const one of [file, join(path, '_default/hosts.toml')]) writeFileSync(one, 'server = \n');
  const { status, stderr } = await run('configuration');
  assert.deepEqual([status, stderr.split('\n').length], [5, 3]);
  writeFileSync(file, HARBOR);
  assert.equal((await run('configuration')).status, 1);
  assert.equal((await run('configuration')).status, 1);
});

test('the look of a running service: counts and paths, and nothing is written', async (t) => {
  const { path, file, run } = certsD(t);
  const look = async () => {
    const { cpuMs, ...found } = JSON.parse((await run('settings-look')).stdout);
    assert.ok(cpuMs > 0);
    return found;
  };
  const other = join(path, '_default/hosts.toml');
  assert.deepEqual(await look(), { present: 0, absent: [file, other], leftAlone: [] });
  assert.deepEqual(readdirSync(path), ['quay.io']);
  assert.equal((await run('configuration')).status, 0);
  assert.deepEqual(await look(), { present: 2, absent: [], leftAlone: [] });
  writeFileSync(file, 'server = \n');
  const { present, absent, leftAlone } = await look();
  assert.deepEqual([present, absent, leftAlone[0].path], [1, [], file]);
});

test('a directory that is none, and one that cannot be read', async (t) => {
  const { file } = certsD(t);
  const args = ['configuration', '--containerd-registry-config-path'];
  const none = await spegel([...args, file]);
  assert.equal(none.status, 5);
  assert.match(none.stderr, /hosts\.toml: expected a directory, got something else\n$/);
  const below = await spegel([...args, join(file, 'certs.d')]);
  assert.equal(below.status, 5);
  assert.match(below.stderr, /expected a directory/);
});

test('cleanup --check says whether anything is to do, and does nothing', async (t) => {
  const { file, run } = certsD(t);
  assert.equal((await run('cleanup', '--check')).status, 0);
  await run('configuration', '--mirror-targets', 'http://10.0.0.9:5000');
  const written = readFileSync(file, 'utf8');
  const { status, stdout } = await run('cleanup', '--check', '--json');
  assert.equal(status, 3);
  assert.ok(JSON.parse(stdout).changes.length > 0);
  assert.equal(readFileSync(file, 'utf8'), written);
  assert.equal((await run('cleanup', '--check', '--addr=:0')).status, 3);
  assert.equal((await run('cleanup')).status, 0);
  assert.equal((await run('cleanup', '--check', '--addr=:0')).status, 0);
});

test('--log-level says how much is said of what was left alone', async (t) => {
  const { path, run } = certsD(t);
  mkdirSync(join(path, 'ghcr.io'));
  writeFileSync(join(path, 'ghcr.io/hosts.toml'), 'server = [\n');
  const said = async (level: string) =>
    (await run('configuration', '--mirror-targets=http://10.0.0.9:5000', `--log-level=${level}`))
      .stderr;
  assert.match(await said('INFO'), /ghcr\.io.*left alone/);
  assert.match(await said('WARN'), /ghcr\.io.*left alone/);
  assert.equal(await said('ERROR'), '');
});
