/**
 * dist/spegel on a host that has nothing, and in an environment that was made for other programs.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { EXECUTABLE } from '../../lab/executable.ts';
import { sectionsOf } from '../../scripts/package/elf.ts';
import { Elf64Dynamic } from '../../scripts/package/elf-dynamic.ts';

const NOBODY = 65_534;
const needsRoot = process.getuid?.() === 0 ? false : 'needs root (another user, namespaces)';

const run = promisify(execFile);

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-executable-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

const VERSION = /^spegel \d+\.\d+\.\d+ \(commit \S+, node v26\.\S+, linux\/(?:amd64|arm64)\)\n$/;

test('version as JSON names version, commit, Node and architecture', async () => {
  const { stdout } = await run(EXECUTABLE, ['version', '--format', 'json'], { env: {} });
  const { version, commit, node, arch } = JSON.parse(stdout);
  assert.match(version, /^\d+\.\d+\.\d+$/);
  assert.match(commit, /^(?:[0-9a-f]{40}(?:-dirty)?|unknown)$/);
  assert.equal(node, process.version);
  assert.equal(arch, process.arch === 'x64' ? 'amd64' : process.arch);
});

test('it starts with no environment, no home and / as its directory, and says nothing else', async () => {
  const { stdout, stderr } = await run(EXECUTABLE, ['version'], { env: {}, cwd: '/' });
  assert.match(stdout, VERSION);
  assert.equal(stderr, '');
});

test('it needs no library that a minimal Debian lacks, and has no symbols', async () => {
  const file = await readFile(EXECUTABLE);
  const known = /^(?:ld-linux-.*|lib(?:c|m|dl|pthread|gcc_s|stdc\+\+))\.so\.\d+$/;
  const needed = new Elf64Dynamic(file).needed();
  assert.ok(needed.includes('libc.so.6'), String(needed));
  assert.deepEqual(
    needed.filter((name) => !known.test(name)),
    [],
  );
  const names = sectionsOf(file).map(({ name }) => name);
  assert.ok(names.includes('.text'));
  assert.deepEqual(
    names.filter((name) => /^\.(?:symtab|debug_)/.test(name)),
    [],
  );
});

for (const value of ['--inspect=127.0.0.1:0', '--no-such-flag', '--require /nonexistent.js']) {
  test(`NODE_OPTIONS=${value} changes nothing`, async () => {
    const env = { NODE_OPTIONS: value };
    const { stdout, stderr } = await run(EXECUTABLE, ['version'], { env });
    assert.match(stdout, VERSION);
    assert.equal(stderr, '');
  });
}

test('other variables of Node change nothing and have nothing written', async (t) => {
  const directory = await scratch(t);
  const env = {
    NODE_COMPILE_CACHE: join(directory, 'cache'),
    NODE_DEBUG: 'net,http,fs',
    NODE_EXTRA_CA_CERTS: '/nonexistent.pem',
    NODE_PATH: directory,
    NODE_PENDING_DEPRECATION: '1',
    NODE_REDIRECT_WARNINGS: join(directory, 'warnings'),
    NODE_V8_COVERAGE: join(directory, 'coverage'),
  };
  const { stdout, stderr } = await run(EXECUTABLE, ['version'], { env });
  assert.match(stdout, VERSION);
  assert.equal(stderr, '');
  // Node itself makes the directory of its cache before anything of ours runs.
  const written = await readdir(directory, { recursive: true, withFileTypes: true });
  assert.deepEqual(
    written.filter((entry) => entry.isFile()).map(({ name }) => name),
    [],
  );
});

test('arguments and exit status survive such variables', async () => {
  const child = spawn(EXECUTABLE, ['registry', '--registry-addr', 'a b'], {
    env: { NODE_DEBUG: 'net', PATH: '/bin' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const said: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text) => said.push(text));
  const [status] = await once(child, 'close');
  assert.equal(status, 2);
  assert.match(said.join(''), /^spegel: --registry-addr: expected .*'?a b'?/m);
});

/** Prints which of these it reached, so that the test cannot pass by testing nothing. */
const BARE = `set -eu
mount -t tmpfs -o ro none /tmp
mount -t tmpfs -o ro none /root
if touch /tmp/x 2>/dev/null; then exit 1; fi
echo bare
cd /
exec setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups --no-new-privs \
  env -i HOME=/root "$0" version`;

test('any user runs it, with no network, no home and a read-only /tmp', {
  skip: needsRoot,
}, async (t) => {
  // Not below /tmp, which is to be empty for it.
  const directory = await mkdtemp('/var/tmp/spegel-executable-');
  t.after(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o755);
  const copy = join(directory, 'spegel');
  await writeFile(copy, await readFile(EXECUTABLE), { mode: 0o755 });
  const words = ['--net', '--mount', 'sh', '-c', BARE, copy];
  const { stdout, stderr } = await run('unshare', words);
  const [bare, ...rest] = stdout.split('\n');
  assert.equal(bare, 'bare');
  assert.match(rest.join('\n'), VERSION);
  assert.equal(stderr, '');
});

test('nobody may run a registry that keeps nothing, with no writable directory', {
  skip: needsRoot,
}, async (t) => {
  const directory = await scratch(t);
  const layout = join(directory, 'layout');
  await chmod(directory, 0o755);
  await mkdir(layout);
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(layout, 'index.json'), '{"schemaVersion":2,"manifests":[]}');
  const port = 20_000 + (process.pid % 10_000);
  const child = spawn(
    EXECUTABLE,
    [
      'registry',
      '--content-store=oci-layout',
      `--oci-layout-path=${layout}`,
      `--registry-addr=127.0.0.1:${port}`,
      '--router-addr=127.0.0.1:0',
      '--metrics-addr=127.0.0.1:0',
      '--advertise-address=127.0.0.1',
      '--data-dir=',
    ],
    { uid: NOBODY, gid: NOBODY, cwd: '/', env: {}, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  t.after(() => child.kill('SIGKILL'));
  const said: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text) => said.push(text));
  const exited = once(child, 'exit');
  const answers = async () =>
    (await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined))?.status === 200;
  const end = Date.now() + 10_000;
  while (!(await answers())) {
    assert.equal(child.exitCode, null, said.join(''));
    assert.ok(Date.now() < end, said.join(''));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
});
