/**
 * Our `_default` hides no registry: what it would hide is said again beside it, and where that
 * cannot be, or is not known, there is no `_default`.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DISK, type Disk } from '../../lib/hosts/transaction/disk.ts';
import { NerdctlHost } from './nerdctl-host.ts';
import { MIRROR } from './support.ts';
import { assertSameTree, directory, file, IS_ROOT, readTree, visibleTree } from './tree.ts';

const NEEDS_ROOT = { skip: IS_ROOT ? false : 'needs root' };
const TEXT = 'server = "http://r.example:5000"\n\n[host."http://m.example"]\n';
const CA = file('a certificate');

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${stderr}`);
}

/** Neither containerd nor nerdctl finds `_default` before these. */
function assertNoDefault(host: NerdctlHost): void {
  assert.equal(readTree(host.base)['a/_default'], undefined);
}

test('a file behind a link is read for the directory beside _default', async (t) => {
  const host = new NerdctlHost(t, { 'a/r.example': directory(), 'managed/r.toml': file(TEXT) });
  symlinkSync('../../managed/r.toml', host.path('a/r.example/hosts.toml'));
  const before = readTree(host.base);
  const { changes, problems } = await host.configure();
  assert.deepEqual(changes, ['add a/_default/hosts.toml', 'add a/r.example:443/hosts.toml']);
  assert.match(problems[0]?.message ?? '', /symbolic link/);
  assert.equal(problems.length, 1);
  const { server, host: hosts } = host.read('a/r.example:443');
  assert.deepEqual(
    [server, Object.keys(hosts)],
    ['http://r.example:5000', [MIRROR, 'http://m.example']],
  );
  writeFileSync(host.path('managed/r.toml'), TEXT.replace('m.example', 'n.example'));
  assert.deepEqual((await host.configure()).changes, ['change a/r.example:443/hosts.toml']);
  await host.cleanUp();
  rmSync(host.path('managed'), { recursive: true });
  assert.ok(before['a/r.example/hosts.toml']);
  assert.deepEqual(Object.keys(readTree(host.base)), [
    'a',
    'a/r.example',
    'a/r.example/hosts.toml',
  ]);
});

const copied: Record<string, string> = {
  'hosts inline': `server = "http://r.example:5000"\n[host]\n"http://m.example" = { capabilities = ["pull"] }\n`,
  'our own host': `server = "http://r.example:5000"\n[host."${MIRROR}"]\n`,
};
for (const [name, text] of Object.entries(copied)) {
  test(`a file that no block can join is copied as it is: ${name}`, async (t) => {
    const host = new NerdctlHost(t, { 'a/r.example/hosts.toml': file(text) });
    const before = readTree(host.base);
    const { changes, problems } = await host.configure();
    assert.deepEqual(changes, ['add a/_default/hosts.toml', 'add a/r.example:443/hosts.toml']);
    assert.deepEqual(
      problems.map(({ path }) => path),
      [host.path('a/r.example/hosts.toml')],
    );
    assert.deepEqual(host.read('a/r.example:443'), host.read('a/r.example'));
    assert.deepEqual((await host.configure()).changes, []);
    await host.cleanUp();
    assertSameTree(readTree(host.base), before, 'after cleanup');
  });
}

test('a block that is edited later keeps what stands beside _default', async (t) => {
  const host = new NerdctlHost(t, { 'a/r.example/hosts.toml': file(TEXT) });
  await host.configure();
  const path = host.path('a/r.example/hosts.toml');
  writeFileSync(path, readFileSync(path, 'utf8').replace('"1s"', '"2s"'));
  const { changes, problems } = await host.configure();
  assert.deepEqual(changes, ['change a/r.example:443/hosts.toml']);
  assert.match(problems[0]?.message ?? '', /our block was edited/);
  assert.deepEqual(host.read('a/r.example:443'), host.read('a/r.example'));
  assert.deepEqual((await host.configure()).changes, []);
  writeFileSync(path, TEXT);
  assert.deepEqual((await host.configure()).problems, []);
  assert.deepEqual(Object.keys(host.read('a/r.example:443').host), [MIRROR, 'http://m.example']);
});

test('a _default of ours that somebody edited keeps what stands beside it, cleanup too', async (t) => {
  const tree = { 'a/r.example/hosts.toml': file(TEXT), 'b/s.example:5000/ca.crt': CA };
  const host = new NerdctlHost(t, tree);
  const before = readTree(host.base);
  const excluded = ['left.example'];
  await host.configure({ excluded });
  const configured = visibleTree(host.base);
  const path = host.path('a/_default/hosts.toml');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('"1s"', '"2s"'));
  const { changes, problems } = await host.configure({ excluded });
  assert.deepEqual([changes, problems.map((one) => one.path)], [[], [path]]);
  await host.cleanUp();
  for (const name of ['r.example:443', 's.example:5000', 'left.example']) {
    assert.ok(readTree(host.base)[`a/${name}`], name);
  }
  writeFileSync(path, text);
  await host.configure({ excluded });
  assertSameTree(visibleTree(host.base), configured, 'configured anew');
  await host.cleanUp();
  assertSameTree(readTree(host.base), before, 'after cleanup');
});

test('what cannot be said again is not hidden: no _default, and what was there goes', async (t) => {
  const host = new NerdctlHost(t, {
    'a/r.example/hosts.toml': file(TEXT),
    'a/q.example:1/ca.crt': CA,
  });
  await host.configure();
  writeFileSync(host.path('a/r.example/hosts.toml'), Buffer.alloc(5_000_000, '#'));
  const { problems } = await host.configure();
  assertNoDefault(host);
  assert.equal(readTree(host.base)['a/r.example:443'], undefined);
  assert.ok(Object.keys(host.read('a/q.example:1').host).includes(MIRROR), 'the rest is done');
  const said = problems.find(({ path }) => path === host.path('a/_default/hosts.toml'))?.message;
  assert.match(said ?? '', /would hide .*a\/r\.example from .*expected at most 1048576 bytes/);
  assert.deepEqual((await host.configure()).changes, []);
  rmSync(host.path('a/r.example'), { recursive: true });
  assert.deepEqual((await host.configure()).changes, ['add a/_default/hosts.toml']);
});

test('what fails without us, or is not there, is no reason against _default', async (t) => {
  const tree = { 'a/file.example': file(''), 'a/d.example/hosts.toml': directory() };
  const host = new NerdctlHost(t, {
    ...tree,
    'a/bytes.example/hosts.toml': file(Buffer.from([0xe4])),
  });
  symlinkSync('nowhere', host.path('a/link.example'));
  const { changes } = await host.configure();
  assert.deepEqual(changes, ['add a/_default/hosts.toml', 'add a/bytes.example:443/hosts.toml']);
});

for (const [name, make] of Object.entries({
  'a directory': (path: string) => run('mount', '--bind', path, path),
  'a file': (path: string) => run('mount', '--bind', `${path}/hosts.toml`, `${path}/hosts.toml`),
  'a tmpfs': (path: string) => {
    run('mount', '-t', 'tmpfs', 'tmpfs', path);
    writeFileSync(`${path}/hosts.toml`, TEXT);
  },
})) {
  test(
    `a mount point is left alone, said again, and a check agrees: ${name}`,
    NEEDS_ROOT,
    async (t) => {
      const host = new NerdctlHost(t, { 'a/r.example/hosts.toml': file(TEXT) });
      const path = host.path('a/r.example');
      make(path);
      const mounted = name === 'a file' ? `${path}/hosts.toml` : path;
      try {
        const planned = await host.configure({}, { isDryRun: true });
        const done = await host.configure();
        assert.deepEqual(done, planned);
        assert.deepEqual(done.changes, [
          'add a/_default/hosts.toml',
          'add a/r.example:443/hosts.toml',
        ]);
        assert.match(done.problems[0]?.message ?? '', /mount point|another file system/);
        const again = await host.configure({}, { isGlance: true });
        assert.deepEqual(again, { changes: [], problems: done.problems });
      } finally {
        run('umount', mounted);
      }
    },
  );
}

test('an immutable file: a check agrees with the run', NEEDS_ROOT, async (t) => {
  const host = new NerdctlHost(t, { 'a/r.example/hosts.toml': file(TEXT) });
  const path = host.path('a/r.example/hosts.toml');
  if (spawnSync('chattr', ['+i', path]).status !== 0) return t.skip('no chattr +i here');
  try {
    const planned = await host.configure({}, { isDryRun: true });
    assert.deepEqual(await host.configure(), planned);
    assert.deepEqual((await host.configure({}, { isDryRun: true })).changes, []);
  } finally {
    run('chattr', '-i', path);
  }
});

test('a directory beside _default that cannot be made: no _default', async (t) => {
  const host = new NerdctlHost(t, { 'a/r.example/hosts.toml': file(TEXT) });
  const renameSync: Disk['renameSync'] = (from, to) => {
    if (`${to}`.endsWith('r.example:443')) throw Object.assign(new Error('no'), { code: 'EPERM' });
    DISK.renameSync(from, to);
  };
  const { changes, problems } = await host.configure({}, { disk: { ...DISK, renameSync } });
  assert.deepEqual(changes, ['change a/r.example/hosts.toml']);
  assertNoDefault(host);
  assert.ok(problems.some(({ message }) => /would hide .*r\.example from/.test(message)));
});

for (const [name, list] of Object.entries({ listed: ['a', 'b'], "nerdctl's": ['a'] })) {
  test(`a directory that cannot be read may hold registries: ${name}`, async (t) => {
    const host = new NerdctlHost(
      t,
      { 'a/q.example:1/ca.crt': CA, 'b/r.example/hosts.toml': file(TEXT) },
      list,
    );
    await host.configure();
    mkdirSync(host.path('b/.spegel'), { recursive: true });
    writeFileSync(host.path('b/.spegel/journal.json'), '');
    const { problems } = await host.configure({
      registries: [{ host: 'n.example', url: undefined }],
    });
    assertNoDefault(host);
    assert.equal(readTree(host.base)['a/n.example'], undefined, 'that may be in b, too');
    assert.ok(Object.keys(host.read('a/q.example:1').host).includes(MIRROR), 'the rest is done');
    const said = problems.find(({ path }) => path === host.path('a/_default/hosts.toml'))?.message;
    assert.match(said ?? '', /would hide what may be in .*\/b, .*journal/);
    assert.deepEqual((await host.configure()).changes, []);
  });
}

test('what systemd hides from the unit is not missing', async (t) => {
  const host = new NerdctlHost(t, { a: directory() }, ['a', 'home/certs.d']);
  const readFileSync = ((path: string, ...rest: never[]) => {
    const line = `1 2 0:1 /systemd/inaccessible/dir ${host.path('home')} ro - tmpfs tmpfs ro\n`;
    return path === '/proc/self/mountinfo' ? line : DISK.readFileSync(path, ...rest);
  }) as Disk['readFileSync'];
  const { changes, problems } = await host.configure({}, { disk: { ...DISK, readFileSync } });
  assert.deepEqual(changes, []);
  assert.match(problems.map(({ message }) => message).join(), /systemd hides it from this unit/);
  assert.ok(problems.some(({ path }) => path === join(host.path('home'), 'certs.d')));
  assert.deepEqual((await host.configure()).changes, ['add a/_default/hosts.toml']);
});

test('a registry that is named, and no other: its certificates in the other directory', async (t) => {
  const host = new NerdctlHost(t, { a: directory(), 'b/r.example:5000/ca.crt': CA });
  const registries = [{ host: 'r.example:5000', url: undefined }];
  await host.configure({ isForAll: false, registries });
  assert.deepEqual(host.read('a/r.example:5000').ca, [host.path('b/r.example:5000/ca.crt')]);
});

test('a hosts.toml that only nerdctl reads is not put in force for containerd', async (t) => {
  const tree = { 'a/q.example:1/ca.crt': CA, 'b/r.example:5000/hosts.toml': file(TEXT) };
  const host = new NerdctlHost(t, { ...tree, 'b/s.example:5000/ca.crt': CA });
  const before = readTree(host.base);
  for (const settings of [
    {},
    { excluded: ['r.example:5000'] },
    { registries: [{ host: 'r.example:5000', url: undefined }] },
  ]) {
    const { changes, problems } = await host.configure(settings);
    const isFirst = Object.keys(settings).length === 0;
    assert.deepEqual(changes, isFirst ? ['add a/q.example:1/hosts.toml'] : []);
    const said = problems.find(({ path }) => path === host.path('a/_default/hosts.toml'))?.message;
    assert.match(said ?? '', /b\/r\.example:5000\/hosts\.toml is nerdctl's alone/);
    assert.deepEqual(
      Object.keys(readTree(host.path('a'))).filter((path) => /^[_rs]/.test(path)),
      [],
    );
  }
  mkdirSync(host.path('a/r.example:5000'));
  const { changes, problems } = await host.configure();
  assert.deepEqual([changes.length, problems], [3, []]);
  rmSync(host.path('a/r.example:5000'), { recursive: true });
  await host.configure();
  await host.cleanUp();
  assertSameTree(readTree(host.base), before, 'after cleanup');
});

test('an excluded registry is excluded in capitals, too', async (t) => {
  const host = new NerdctlHost(t, { 'a/R.example/hosts.toml': file(TEXT) });
  await host.configure({ excluded: ['r.example'] });
  assert.deepEqual(Object.keys(host.read('a/R.example:443').host), ['http://m.example']);
});

test('behind a link in a listed directory, where _default goes into the first', async (t) => {
  const daemon = file('{ "insecure-registries": ["10.0.0.0/8"] }');
  const tree = { a: directory(), 'docker/daemon.json': daemon, 'r.toml': file(TEXT) };
  const host = new NerdctlHost(t, { ...tree, 'docker/certs.d/r.example:5000': directory() }, [
    'a',
    'docker/certs.d',
  ]);
  symlinkSync('../../../r.toml', host.path('docker/certs.d/r.example:5000/hosts.toml'));
  await host.configure();
  const { server, host: hosts } = host.read('a/r.example:5000');
  assert.equal(server, 'http://r.example:5000');
  assert.deepEqual(Object.keys(hosts), [MIRROR, 'http://m.example']);
});
