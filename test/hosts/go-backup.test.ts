import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DISK, type Disk } from '../../lib/hosts/disk.ts';
import { restoreGoBackup } from '../../lib/hosts/go-backup.ts';

const OWNER = process.getuid?.() === 0 ? 1234 : undefined;
const LOCAL = "[host.'http://127.0.0.1:5000']\ncapabilities = ['pull', 'resolve']";
/** As Go Spegel writes it. */
const go = (server: string) => `server = '${server}'\n\n${LOCAL}\ndial_timeout = '200ms'`;
/** As an early Go Spegel wrote it, which a later one moved into `_backup`. */
const EARLIER = `server = 'https://quay.io'\n\n${LOCAL}`;
const PRIVATE = '[host."https://harbor.example"]\n  ca = "ca.crt"\n  skip_verify = false # mine\n';
const PREPENDED = `${go('https://private.example')}\n\n[host.'https://harbor.example']\nca = 'ca.crt'\nskip_verify = false`;

/** A file's text; where a link points to; a directory. Then its mode. */
type Entry = string | { link: string } | null;
type Files = Record<string, Entry | [Entry, number]>;

/** What the administrator had. */
const ADMINISTRATORS: Files = {
  'private.example': [null, 0o750],
  'private.example/hosts.toml': [PRIVATE, 0o600],
  'private.example/ca.crt': 'a certificate',
  'private.example/linked.crt': { link: 'ca.crt' },
  'private.example/shared.crt': { link: '../shared/ca.crt' },
  'private.example/client.key': ['a key', 0o400],
  'private.example/nested/client.cert': 'another certificate',
  'docker.io/hosts.toml': 'server = "https://registry-1.docker.io"\n',
  'linked.example': { link: 'docker.io' },
  'unmirrored.example/hosts.toml': ['# mine\n', 0o640],
  'quay.io/hosts.toml': EARLIER,
  'shared/ca.crt': 'a shared certificate',
  empty: [null, 0o700],
  '.hidden': 'hidden',
  'a file': '',
};

/** What `configuration --prepend-existing` of 0.7 puts in its place. */
const GO: Files = {
  'private.example/hosts.toml': PREPENDED,
  'private.example/ca.crt': 'a certificate',
  'private.example/linked.crt': 'a certificate',
  'private.example/shared.crt': 'a shared certificate',
  'private.example/client.key': 'a key',
  'private.example/nested/client.cert': 'another certificate',
  'docker.io/hosts.toml': go('https://registry-1.docker.io'),
  'linked.example/hosts.toml': go('https://linked.example'),
  'ghcr.io/hosts.toml': go('https://ghcr.io'),
  'new.example:5000/hosts.toml': go('http://new.example:5000'),
  '_default/hosts.toml': `${LOCAL}\ndial_timeout = '200ms'`,
};

/** What was added or edited after it. */
const LATER: Files = {
  'private.example/later.crt': 'later',
  'docker.io/later/ca.crt': 'later',
  'ghcr.io/ca.crt': 'later',
  'later.example/hosts.toml': 'server = "https://later.example"\n',
  'later.example/linked': { link: '../_backup' },
};
const EDITED: Files = {
  'docker.io/hosts.toml': `${go('https://registry-1.docker.io')}\n[host."https://mine"]\n`,
  'new.example:5000/hosts.toml': `${go('http://new.example:5000')}\n`,
};

function write(root: string, files: Files): void {
  for (const [name, described] of Object.entries(files)) {
    const [entry, mode] = Array.isArray(described) ? described : [described, undefined];
    const path = join(root, name);
    fs.mkdirSync(dirname(path), { recursive: true });
    if (entry === null) fs.mkdirSync(path);
    else if (typeof entry === 'string') fs.writeFileSync(path, entry);
    else fs.symlinkSync(entry.link, path);
    if (mode !== undefined) fs.chmodSync(path, mode);
    if (mode !== undefined && OWNER !== undefined) fs.chownSync(path, OWNER, OWNER);
  }
}

function makeDirectory(t: TestContext): string {
  const root = fs.mkdtempSync(join(tmpdir(), 'spegel-go-backup-'));
  t.after(() => fs.rmSync(root, { recursive: true, force: true }));
  return root;
}

/** The state after Go Spegel's `configuration`. */
function make(root: string, administrators: Files, goFiles: Files, later: Files = {}): string {
  write(join(root, '_backup'), administrators);
  fs.mkdirSync(join(root, '_backup'), { recursive: true });
  write(root, goFiles);
  write(root, later);
  return root;
}

/** All there is to see of a directory: kinds, modes, owners, bytes, where links point to. */
function look(root: string): Record<string, string> {
  const names = fs.readdirSync(root, { recursive: true, encoding: 'latin1' }).sort();
  const seen = names.map((name) => {
    const path = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, 'latin1')]);
    const { mode, uid, gid } = fs.lstatSync(path);
    let content = '';
    if ((mode & fs.constants.S_IFMT) === fs.constants.S_IFLNK) content = fs.readlinkSync(path);
    if ((mode & fs.constants.S_IFMT) === fs.constants.S_IFREG) {
      content = fs.readFileSync(path, 'latin1');
    }
    return [name, `${mode.toString(8)} ${uid}:${gid} ${content}`];
  });
  return Object.fromEntries(seen);
}

/** What `look` shows of these files, each written where it belongs. */
function expected(t: TestContext, ...files: Files[]): Record<string, string> {
  const root = makeDirectory(t);
  for (const some of files) write(root, some);
  return look(root);
}

const paths = ({ kept }: { kept: { path: string }[] }) => kept.map(({ path }) => path).sort();

test('the content of _backup returns as it was, and nothing else is left', (t) => {
  const root = make(makeDirectory(t), ADMINISTRATORS, GO);
  const report = restoreGoBackup(root, DISK);
  assert.deepEqual(look(root), expected(t, ADMINISTRATORS));
  assert.equal(report.found, true);
  assert.deepEqual(report.kept, []);
  assert.deepEqual(report.removed, [
    '_default/hosts.toml',
    'ghcr.io/hosts.toml',
    'linked.example/hosts.toml',
    'new.example:5000/hosts.toml',
  ]);
  assert.ok(report.restored.includes('private.example/hosts.toml'));
  assert.ok(report.restored.includes('unmirrored.example'));
  // Again: a hosts.toml in Go Spegel's form that was restored is the administrator's.
  const second = { found: false, restored: [], removed: [], kept: [] };
  assert.deepEqual(restoreGoBackup(root, DISK), second);
  assert.deepEqual(look(root), expected(t, ADMINISTRATORS));
});

test('files that were added later stay', (t) => {
  const root = make(makeDirectory(t), ADMINISTRATORS, GO, LATER);
  const report = restoreGoBackup(root, DISK);
  assert.deepEqual(report.kept, []);
  assert.deepEqual(look(root), expected(t, ADMINISTRATORS, LATER));
});

test('an edited file stays, and what was there before it stays in _backup', (t) => {
  const root = make(makeDirectory(t), ADMINISTRATORS, GO, EDITED);
  const report = restoreGoBackup(root, DISK);
  assert.deepEqual(paths(report), [
    '_backup/docker.io/hosts.toml',
    'docker.io/hosts.toml',
    'new.example:5000/hosts.toml',
  ]);
  const { 'docker.io/hosts.toml': before, ...others } = ADMINISTRATORS;
  const rest: Files = {
    '_backup/.spegel-restoring': null,
    '_backup/docker.io/hosts.toml': before ?? '',
  };
  const tree = look(root);
  assert.match(tree['_backup/.spegel-restoring'] ?? '', /^40700 /);
  fs.chmodSync(join(root, '_backup/.spegel-restoring'), 0o755);
  assert.deepEqual(look(root), expected(t, others, EDITED, rest));
  // Again: nothing happens, in particular not to what was restored and is in Go Spegel's form.
  const untouched = look(root);
  const second = restoreGoBackup(root, DISK);
  assert.deepEqual([second.restored, second.removed], [[], []]);
  assert.deepEqual(paths(second), ['_backup/docker.io/hosts.toml', 'docker.io/hosts.toml']);
  assert.deepEqual(look(root), untouched);
  // When the file is out of the way, the rest returns.
  fs.rmSync(join(root, 'docker.io/hosts.toml'));
  assert.deepEqual(restoreGoBackup(root, DISK).restored, ['docker.io/hosts.toml']);
  const { 'new.example:5000/hosts.toml': stays = '' } = EDITED;
  const now = expected(t, ADMINISTRATORS, { 'new.example:5000/hosts.toml': stays });
  assert.deepEqual(look(root), now);
});

test('things of another kind are in the way, and stay', (t) => {
  const root = makeDirectory(t);
  const before = { a: 'a file', 'b/hosts.toml': 'b', c: { link: 'a' }, 'd/e': 'e', f: 'f' };
  const later = {
    'a/hosts.toml': 'a',
    b: 'b',
    c: 'not a file',
    d: { link: 'a' },
    f: { link: 'b' },
  };
  make(root, before, { 'ghcr.io/hosts.toml': go('https://ghcr.io') }, later);
  const report = restoreGoBackup(root, DISK);
  const names = Object.keys(before).map((name) => name.charAt(0));
  assert.deepEqual(paths(report), [...names.map((name) => `_backup/${name}`), ...names]);
  assert.equal(fs.readFileSync(join(root, '_backup/d/e'), 'utf8'), 'e');
  assert.equal(fs.existsSync(join(root, 'ghcr.io')), false);
});

test('a _backup that is none: nothing is touched', (t) => {
  for (const entry of ['a file', { link: 'elsewhere' }, undefined]) {
    const root = makeDirectory(t);
    write(root, {
      'elsewhere/docker.io/hosts.toml': 'x',
      'ghcr.io/hosts.toml': go('https://ghcr.io'),
    });
    if (entry !== undefined) write(root, { _backup: entry });
    const before = look(root);
    const nothing = { found: false, restored: [], removed: [], kept: [] };
    assert.deepEqual(restoreGoBackup(root, DISK), nothing);
    assert.deepEqual(look(root), before);
  }
  const absent = join(makeDirectory(t), 'absent');
  assert.equal(restoreGoBackup(absent, DISK).found, false);
});

test("an administrator's own _backup is not touched", (t) => {
  for (const change of [{}, { 'docker.io/hosts.toml': '# changed since' }]) {
    const root = makeDirectory(t);
    write(root, { 'docker.io/hosts.toml': 'x', 'private.example/hosts.toml': [PRIVATE, 0o600] });
    fs.cpSync(join(root, 'docker.io'), join(root, '_backup/docker.io'), { recursive: true });
    write(root, change);
    const before = look(root);
    const report = restoreGoBackup(root, DISK);
    assert.deepEqual(paths(report), ['_backup']);
    assert.match(report.kept[0]?.why ?? '', /docker\.io\/hosts\.toml exists/);
    assert.deepEqual(look(root), before);
  }
});

test("Go Spegel's files were removed by hand: the rest returns", (t) => {
  const emptied = { 'docker.io': null, '_default/': null } as Files;
  const root = make(makeDirectory(t), ADMINISTRATORS, {}, emptied);
  assert.deepEqual(restoreGoBackup(root, DISK).kept, []);
  const left = { ...expected(t, ADMINISTRATORS, { _default: null }) };
  assert.deepEqual(look(root), left);
});

test('a host that had nothing has nothing again', (t) => {
  const root = make(makeDirectory(t), {}, { '_default/hosts.toml': LOCAL });
  assert.deepEqual(restoreGoBackup(root, DISK).removed, ['_default/hosts.toml']);
  assert.deepEqual(look(root), {});
});

test('names need not be UTF-8, and two names may be of one file', (t) => {
  const root = make(makeDirectory(t), ADMINISTRATORS, GO);
  for (const directory of ['_backup/', '_backup/private.example/', 'private.example/']) {
    const name = Buffer.from([0xff, 0x41, 0xfe]);
    fs.writeFileSync(Buffer.concat([Buffer.from(join(root, directory)), name]), 'bytes');
  }
  fs.rmSync(join(root, 'private.example/ca.crt'));
  fs.linkSync(join(root, '_backup/private.example/ca.crt'), join(root, 'private.example/ca.crt'));
  assert.deepEqual(restoreGoBackup(root, DISK).kept, []);
  const tree = look(root);
  for (const name of ['\xffA\xfe', 'private.example/\xffA\xfe']) {
    assert.match(tree[name] ?? '', /bytes$/);
    delete tree[name];
  }
  assert.deepEqual(tree, expected(t, ADMINISTRATORS));
});

test('an error of the disk comes as it is, and a later run completes', (t) => {
  const root = make(makeDirectory(t), ADMINISTRATORS, GO);
  const busy = Object.assign(new Error('EBUSY'), { code: 'EBUSY' });
  const disk: Disk = {
    ...DISK,
    renameSync: (from, to) => {
      if (to.toString().endsWith('quay.io')) throw busy;
      DISK.renameSync(from, to);
    },
  };
  assert.throws(() => restoreGoBackup(root, disk), busy);
  restoreGoBackup(root, DISK);
  assert.deepEqual(look(root), expected(t, ADMINISTRATORS));
});

const KILLED = new Error('killed');

/** A disk whose n-th call, and any after it, does not happen. */
function dyingDisk(calls: number): Disk {
  let left = calls;
  return new Proxy(DISK, {
    get: (disk, name: keyof Disk) =>
      Object.assign((...args: never[]) => {
        left -= 1;
        // The system closes what a killed process had open.
        if (left < 0 && name === 'closeSync') DISK.closeSync(args[0] as unknown as number);
        if (left < 0) throw KILLED;
        return (disk[name] as (...args: never[]) => unknown)(...args);
      }),
  });
}

/** Whether the run came to its end. */
function run(root: string, calls: number): boolean {
  try {
    restoreGoBackup(root, dyingDisk(calls));
    return true;
  } catch (error) {
    assert.equal(error, KILLED);
    return false;
  }
}

const texts = (tree: Record<string, string>) =>
  new Set(Object.values(tree).map((seen) => seen.slice(seen.indexOf(' ', 8))));

/** Where the only file that tells of Go Spegel is deleted. */
const LITTLE: Files = { 'docker.io/hosts.toml': 'x', 'private.example/hosts.toml': PRIVATE };
const LITTLE_LEFT: Files = {
  'docker.io/hosts.toml': '# mine',
  'private.example/hosts.toml': '# mine, too',
};

const GHCR: Files = { 'ghcr.io/hosts.toml': go('https://ghcr.io') };

for (const [name, administrators, goFiles, later] of [
  ['', ADMINISTRATORS, GO, {}],
  [', with files added later', ADMINISTRATORS, GO, LATER],
  [', with edited files', ADMINISTRATORS, GO, { ...LATER, ...EDITED }],
  [', with little to go by', LITTLE, GHCR, LITTLE_LEFT],
] as const) {
  test(`killed at any call, the next run ends in the same state${name}`, (t) => {
    const start = makeDirectory(t);
    const fresh = () => {
      fs.rmSync(start, { recursive: true });
      fs.mkdirSync(start, { mode: 0o700 });
      return make(start, administrators, goFiles, later);
    };
    const had = texts(expected(t, administrators)).union(texts(expected(t, later)));
    restoreGoBackup(fresh(), DISK);
    const end = look(start);
    let points = 0;
    for (let isDone = false; !isDone; points += 1) {
      isDone = run(fresh(), points);
      const killed = look(start);
      assert.ok(had.isSubsetOf(texts(killed)), `at call ${points}`);
      // containerd finds a hosts.toml all the time, for a registry that had one.
      for (const registry of ['docker.io', 'private.example']) {
        assert.ok(`${registry}/hosts.toml` in killed, `${registry} at call ${points}`);
      }
      // The next run is killed, too, somewhere else.
      run(start, (points * 37) % 101);
      restoreGoBackup(start, DISK);
      assert.deepEqual(look(start), end, `at call ${points}`);
    }
    assert.ok(points > 50);
    t.diagnostic(`${points} points`);
  });
}
