import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  assertSameTree,
  file,
  IS_ROOT,
  isHidden,
  readTree,
  type Tree,
  writeTree,
} from '../tree.ts';

const MAIN = join(import.meta.dirname, '../../../cmd/main.ts');
const NEEDS_ROOT = { skip: IS_ROOT ? false : 'needs root' };

const TREE: Tree = {
  '_default/hosts.toml': file('[host."https://default.example"]\n'),
  'quay.io/hosts.toml': file('[host."https://quay.example"]\n', 0o640),
  'private.example/ca.crt': file('a certificate'),
};

interface Ended {
  readonly status: number | null;
  readonly stderr: string;
}

function spegel(
  command: string,
  root: string,
  identity: { uid?: number; gid?: number } = {},
): Ended {
  const argv = [MAIN, command, `--containerd-registry-config-path=${root}`];
  return spawnSync(process.execPath, argv, { encoding: 'utf8', ...identity });
}

/** Runs `body` with a directory anybody may enter. */
function inDirectory(body: (path: string) => void): void {
  const path = fs.mkdtempSync(join(tmpdir(), 'spegel-disk-'));
  fs.chmodSync(path, 0o755);
  try {
    body(path);
  } finally {
    fs.rmSync(path, { recursive: true, force: true });
  }
}

/** Runs `body` on a file system of its own, of so many bytes. */
function onTmpfs(bytes: number, body: (path: string) => void): void {
  inDirectory((path) => {
    command('mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=755`, 'tmpfs', path);
    try {
      body(path);
    } finally {
      command('umount', path);
    }
  });
}

function command(name: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(name, args, { encoding: 'utf8' });
  assert.equal(status, 0, `${name} ${args.join(' ')}: ${stderr}`);
}

/** Of `configuration`, of which nothing could be written; of `cleanup` it is 1. */
const NOT_CONFIGURED = 5;

/** Its exit code, one line with the path, the reason and that nothing was changed; and so it is. */
function checkRefused(
  ended: Ended,
  root: string,
  before: Tree,
  reason: RegExp,
  status = NOT_CONFIGURED,
): void {
  assert.equal(ended.status, status, ended.stderr);
  assert.match(ended.stderr, reason);
  assert.ok(ended.stderr.includes(root), ended.stderr);
  assertSameTree(readTree(root), before, ended.stderr);
}

test('a full disk changes nothing, however little room is left', NEEDS_ROOT, (t) => {
  const page = 4096;
  let refusals = 0;
  onTmpfs(64 * page, (path) => {
    const root = join(path, 'certs.d');
    writeTree(root, TREE);
    const before = readTree(root);
    // Pages and inodes are what tmpfs counts; each step more lets the run come one step further.
    for (let left = 0; left < 40; left += 1) {
      const ballast = join(path, 'ballast');
      fill(ballast, left * page);
      const ended = spegel('configuration', root);
      fs.rmSync(ballast, { force: true });
      if (ended.status === 0) {
        assert.equal(spegel('cleanup', root).status, 0);
        assertSameTree(readTree(root), before, 'after cleanup');
        break;
      }
      checkRefused(ended, root, before, /no space is left on the disk; .*nothing was changed/);
      refusals += 1;
    }
    checkFullCleanup(root, path, page, before);
  });
  t.diagnostic(`${refusals} amounts of room were too little`);
  assert.ok(refusals > 2, 'several steps are to meet a full disk');
});

function checkFullCleanup(root: string, path: string, page: number, before: Tree): void {
  assert.equal(spegel('configuration', root).status, 0);
  const configured = readTree(root, isHidden);
  const ballast = join(path, 'ballast');
  fill(ballast, 0);
  const ended = spegel('cleanup', root);
  if (ended.status !== 0) {
    assert.match(ended.stderr, /no space is left/);
    assertSameTree(readTree(root, isHidden), configured, ended.stderr);
  }
  fs.rmSync(ballast);
  assert.equal(spegel('cleanup', root).status, 0);
  assertSameTree(readTree(root), before, `after cleanup, ${page}`);
}

/** Takes all room but so many bytes. */
function fill(path: string, left: number): void {
  const descriptor = fs.openSync(path, 'w');
  let size = 0;
  try {
    const block = Buffer.alloc(1024, 'x');
    for (;;) size += fs.writeSync(descriptor, block);
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  } finally {
    fs.ftruncateSync(descriptor, Math.max(0, size - left));
    fs.closeSync(descriptor);
  }
}

test(
  'a read-only file system is named, and one without need of changes is fine',
  NEEDS_ROOT,
  () => {
    onTmpfs(1024 * 1024, (path) => {
      const root = join(path, 'certs.d');
      writeTree(root, TREE);
      const before = readTree(root);
      command('mount', '-o', 'remount,ro', path);
      checkRefused(
        spegel('configuration', root),
        root,
        before,
        /the file system is read-only; make it/,
      );
      assert.equal(spegel('cleanup', root).status, 0, 'nothing to do');
      command('mount', '-o', 'remount,rw', path);
      assert.equal(spegel('configuration', root).status, 0);
      const configured = readTree(root);
      command('mount', '-o', 'remount,ro', path);
      assert.equal(spegel('configuration', root).status, 0, 'all is as it should be');
      checkRefused(
        spegel('cleanup', root),
        root,
        configured,
        /the file system is read-only; make it/,
        1,
      );
      command('mount', '-o', 'remount,rw', path);
      assert.equal(spegel('cleanup', root).status, 0);
      assertSameTree(readTree(root), before, 'after cleanup');
    });
  },
);

for (const [what, mode] of [
  ['may read', 0o755],
  ['may not read', 0o700],
] as const) {
  test(`an ordinary user who ${what} the directory is told to be root`, NEEDS_ROOT, () => {
    inDirectory((path) => {
      const root = join(path, 'certs.d');
      writeTree(root, TREE);
      fs.chmodSync(root, mode);
      const before = readTree(root);
      const nobody = { uid: 65_534, gid: 65_534 };
      const reason = /permission denied; run this as root/;
      checkRefused(spegel('configuration', root, nobody), root, before, reason);
      assert.equal(spegel('configuration', root).status, 0);
      const configured = readTree(root);
      checkRefused(spegel('cleanup', root, nobody), root, configured, reason, 1);
    });
  });
}

const CAN_FREEZE = canFreeze();
const IMMUTABLE = { skip: CAN_FREEZE ? false : 'needs root and a file system with chattr +i' };

test('an immutable certs.d is named, and nothing is changed', IMMUTABLE, () => {
  inFrozen('', (root, before) => {
    const ended = spegel('configuration', root);
    checkRefused(ended, root, before, /not permitted; .*lsattr.*nothing was changed/);
  });
});

test('an immutable directory or file is named, and all else is done', IMMUTABLE, () => {
  for (const name of ['_default', 'quay.io', 'quay.io/hosts.toml']) {
    inFrozen(name, (root, before) => {
      const ended = spegel('configuration', root);
      assert.equal(ended.status, 1, ended.stderr);
      assert.match(ended.stderr, /left alone: not permitted; .*lsattr/);
      assert.ok(ended.stderr.includes(join(root, name)), ended.stderr);
      const isChanged = (path: string) =>
        JSON.stringify(before[path]) !== JSON.stringify(readTree(root)[path]);
      const done = Object.keys(before).filter(
        (path) => path.endsWith('hosts.toml') && isChanged(path),
      );
      assert.deepEqual(done, [name === '_default' ? 'quay.io/hosts.toml' : '_default/hosts.toml']);
      assert.equal(spegel('configuration', root).status, 1, 'and again');
    });
  }
});

test('cleanup takes ours out of all files but the immutable one', IMMUTABLE, () => {
  inDirectory((path) => {
    const root = join(path, 'certs.d');
    writeTree(root, TREE);
    const before = readTree(root);
    assert.equal(spegel('configuration', root).status, 0);
    const frozen = join(root, 'quay.io/hosts.toml');
    command('chattr', '+i', frozen);
    try {
      const ended = spegel('cleanup', root);
      assert.equal(ended.status, 1, ended.stderr);
      assert.ok(ended.stderr.includes(`${frozen}: left alone`), ended.stderr);
      const names = Object.keys(readTree(root)).filter((name) => name.startsWith('private'));
      assert.ok(!names.includes('private.example/hosts.toml'), 'the others are done');
    } finally {
      command('chattr', '-i', frozen);
    }
    assert.equal(spegel('cleanup', root).status, 0);
    assertSameTree(readTree(root), before, 'after cleanup');
  });
});

/** With that frozen; afterwards both commands work as ever. */
function inFrozen(name: string, body: (root: string, before: Tree) => void): void {
  inDirectory((path) => {
    const root = join(path, 'certs.d');
    writeTree(root, TREE);
    const before = readTree(root);
    command('chattr', '+i', join(root, name));
    try {
      body(root, before);
    } finally {
      command('chattr', '-i', join(root, name));
    }
    assert.equal(spegel('configuration', root).status, 0);
    assert.equal(spegel('cleanup', root).status, 0);
    assertSameTree(readTree(root), before, 'after cleanup');
  });
}

function canFreeze(): boolean {
  let isFrozen = false;
  inDirectory((path) => {
    isFrozen = spawnSync('chattr', ['+i', path]).status === 0;
    if (isFrozen) command('chattr', '-i', path);
  });
  return isFrozen;
}
