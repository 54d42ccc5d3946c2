/** Who may hold up whom on one certs.d, and for how long. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { flock, flockByProgram } from '../../../lib/base/flock.ts';
import { cleanUpMirrors, configureMirrors } from '../../../lib/hosts/mirrors.ts';
import { ALL, CertsDirectory } from '../support.ts';
import { IS_ROOT } from '../tree.ts';
import { interceptedDisk } from './mortal-disk.ts';

const NEEDS_ROOT = { skip: IS_ROOT ? false : 'needs root' };
const { signal } = new AbortController();
const NOBODY = 65_534;
const HARBOR = { 'quay.io/hosts.toml': '[host."https://harbor.corp"]\n' };

/** A certs.d with our block in it, and the directory that is the lock. */
async function configured(t: TestContext) {
  const certs = CertsDirectory.make(t, HARBOR);
  await certs.configure();
  return { certs, hidden: join(certs.path, '.spegel') };
}

/** Another process that has the lock of a directory. */
async function holder(t: TestContext, path: string): Promise<ChildProcess> {
  const words = ['--no-fork', path, 'sh', '-c', 'echo held; exec sleep 60'];
  const child = spawn('flock', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

async function isWaiting(run: Promise<unknown>): Promise<boolean> {
  return (await Promise.race([run.then(() => 'done'), sleep(500, 'waits')])) === 'waits';
}

test('one run waits for another, and a kill of that one frees it', async (t) => {
  const { certs, hidden } = await configured(t);
  const other = await holder(t, hidden);
  const run = cleanUpMirrors([certs.path], { signal });
  assert.ok(await isWaiting(run), 'it worked beside another');
  other.kill('SIGKILL');
  assert.equal((await run).changes.length, 2);
  assert.deepEqual(certs.names(), ['quay.io', 'quay.io/hosts.toml']);
});

test('a lock of a directory that another has taken the place of is none', async (t) => {
  const { certs, hidden } = await configured(t);
  let looks = 0;
  let descriptor = 0;
  const disk = interceptedDisk((name, call, args) => {
    // The third look comes when it has the lock.
    if (name === 'lstatSync' && args[0] === hidden) looks += 1;
    if (looks === 3 && descriptor === 0) {
      fs.renameSync(hidden, `${hidden}-before`);
      fs.cpSync(`${hidden}-before`, hidden, { recursive: true });
      descriptor = fs.openSync(hidden, 'r');
      assert.equal(flock(descriptor), 'locked');
    }
    return call(...args);
  });
  const run = cleanUpMirrors([certs.path], { signal, disk });
  assert.ok(await isWaiting(run), 'it worked beside another');
  fs.closeSync(descriptor);
  assert.equal((await run).changes.length, 2);
  fs.rmSync(`${hidden}-before`, { recursive: true });
});

test('another user holds nobody up', NEEDS_ROOT, async (t) => {
  const { certs, hidden } = await configured(t);
  fs.chmodSync(certs.path, 0o755);
  const { status } = spawnSync('flock', ['-n', hidden, 'true'], { uid: NOBODY, gid: NOBODY });
  assert.notEqual(status, 0, 'nobody has the lock');
  // What releases before took as their lock.
  const { createHash } = await import('node:crypto');
  const sum = createHash('sha256').update(certs.path).digest('hex').slice(0, 32);
  const script = `require('net').createServer().listen('\\0spegel-certs-d-${sum}', () => console.log('held'))`;
  const child = spawn(process.execPath, ['-e', script], {
    cwd: '/',
    uid: NOBODY,
    gid: NOBODY,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const began = performance.now();
  await certs.cleanUp();
  assert.ok(performance.now() - began < 5_000);
  assert.deepEqual(certs.names(), ['quay.io', 'quay.io/hosts.toml']);
});

test('a directory of another user is refused, one that was opened to all is closed', async (t) => {
  const { certs, hidden } = await configured(t);
  fs.chmodSync(hidden, 0o777);
  await certs.configure();
  assert.equal(fs.statSync(hidden).mode & 0o777, 0o700);
  if (!IS_ROOT) return;
  fs.chownSync(hidden, NOBODY, NOBODY);
  await assert.rejects(cleanUpMirrors([certs.path], { signal }), {
    code: 'ERR_HOSTS',
    message: `${hidden}: expected a directory of user id 0, got one of ${NOBODY}; look at what is in it, then remove it`,
  });
  fs.chownSync(certs.path, NOBODY, NOBODY);
  await certs.cleanUp();
  assert.deepEqual(certs.names(), ['quay.io', 'quay.io/hosts.toml']);
});

test('a link in its place is neither followed nor waited for', async (t) => {
  const certs = CertsDirectory.make(t, HARBOR);
  const hidden = join(certs.path, '.spegel');
  fs.symlinkSync('/etc', hidden);
  const began = performance.now();
  await assert.rejects(
    configureMirrors([certs.path], ALL, { signal }),
    /\.spegel: expected a directory of spegel's own, got something else/,
  );
  assert.ok(performance.now() - began < 5_000);
});

test('without node:ffi the program flock takes the same lock, and says when there is none', (t) => {
  const certs = CertsDirectory.make(t, {});
  const [one, two] = [fs.openSync(certs.path, 'r'), fs.openSync(certs.path, 'r')];
  t.after(() => fs.closeSync(two));
  assert.deepEqual([flockByProgram(one), flockByProgram(one)], ['locked', 'locked']);
  assert.deepEqual([flock(two), flockByProgram(two)], ['busy', 'busy']);
  fs.closeSync(one);
  assert.equal(flock(two), 'locked');
  assert.throws(() => flockByProgram(two, 'no-such-flock'), {
    code: 'ERR_HOSTS',
    message: /expected a Node with node:ffi, or the program flock, got neither; install/,
  });
});
