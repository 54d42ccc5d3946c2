/**
 * Whom containerd would meet at a port of this host: told by what the kernel and our daemons say.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { createServer, type Server } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createLogger } from '../../lib/base/log.ts';
import { localAddresses } from '../../lib/port/local-addresses.ts';
import { portConflicts } from '../../lib/port/port-conflicts.ts';
import { PortNoteFile } from '../../lib/port/port-note.ts';
import { listeningSockets, socketsAnswering } from '../../lib/port/sockets.ts';

const IS_ROOT = process.geteuid?.() === 0;
const NEEDS_ROOT = { skip: IS_ROOT ? false : 'needs root' };

async function listen(t: TestContext, host: string, port = 0): Promise<number> {
  const server: Server = createServer().listen(port, host);
  t.after(() => server.close());
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

function directory(t: TestContext): string {
  const path = fs.mkdtempSync(join(tmpdir(), 'spegel-port-'));
  t.after(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Another process that listens on a port of its own choice, as another user if told. */
async function program(t: TestContext, host: string, uid?: number) {
  const script = `const s=require('net').createServer().listen(0,'${host}',()=>console.log(s.address().port))`;
  const identity = uid === undefined ? {} : { uid, gid: uid };
  const child = spawn(process.execPath, ['-e', script], { cwd: '/', ...identity });
  t.after(() => child.kill('SIGKILL'));
  const [chunk] = await once(child.stdout, 'data');
  return { port: Number(String(chunk)), pid: child.pid };
}

function noted(directory: string, port: number, host = ''): PortNoteFile {
  const log = createLogger('ERROR', () => {});
  const parts = { log, registry: { port }, router: { peerId: '12D3KooW' } };
  return new PortNoteFile(parts, { directory, host });
}

test('the kernel says who listens: address, port and user', async (t) => {
  const four = await listen(t, '127.0.0.1');
  const all = await listen(t, '::');
  const mapped = await listen(t, '::ffff:127.0.0.1');
  const of = (port: number) => listeningSockets().filter((socket) => socket.port === port);
  const uid = process.geteuid?.();
  const brief = (port: number) => of(port).map((one) => [one.ip, one.family, one.uid]);
  assert.deepEqual(brief(four), [['127.0.0.1', 4, uid]]);
  assert.deepEqual(brief(all), [['::', 6, uid]]);
  assert.deepEqual(brief(mapped), [['127.0.0.1', 6, uid]]);
});

test('a connection goes to the very address first, and a dual-stack socket takes IPv4, too', () => {
  const socket = (ip: string, family: 4 | 6) => ({ ip, family, port: 1, uid: 0, inode: 0 });
  const all = socket('::', 6);
  const four = socket('0.0.0.0', 4);
  const exact = socket('127.0.0.1', 4);
  const mapped = socket('127.0.0.1', 6);
  const rows = [
    [[all], '127.0.0.1', [all]],
    [[all, four], '127.0.0.1', [four]],
    [[all, four, mapped], '127.0.0.1', [mapped]],
    [[all, mapped, exact], '127.0.0.1', [exact]],
    [[four, exact], '::1', []],
    [[four, all], '::1', [all]],
    [[exact], '127.0.0.2', []],
  ] as const;
  for (const [sockets, ip, expected] of rows)
    assert.deepEqual(socketsAnswering(sockets, ip, 1), expected);
  assert.deepEqual(socketsAnswering([all], '::1', 2), []);
});

test('which targets are this host, by whatever spelling', () => {
  const names = {
    ips: () => new Set(['127.0.0.1', '::1', '10.0.0.7', 'fd00::7']),
    hostname: () => 'Node7.corp',
    hostsFile: () => '127.0.1.1 node7 # comment\n10.0.0.7 mirror.corp\n10.0.0.8 other.corp\n',
  };
  const own = ['127.0.0.1', '::1', '10.0.0.7', 'fd00::7'];
  for (const [host, expected] of Object.entries({
    '127.0.0.1': ['127.0.0.1'],
    '127.9.9.9': ['127.9.9.9'],
    '0.0.0.0': ['127.0.0.1'],
    '[::1]': ['::1'],
    '[::]': ['::1'],
    '[::ffff:10.0.0.7]': ['10.0.0.7'],
    localhost: ['127.0.0.1', '::1'],
    'localhost.': ['127.0.0.1', '::1'],
    '10.0.0.7': ['10.0.0.7'],
    '[FD00:0::7]': ['fd00::7'],
    'node7.CORP': own,
    node7: [...own, '127.0.1.1'],
    'mirror.corp': ['10.0.0.7'],
    'other.corp': [],
    '10.0.0.8': [],
    'node7.example': [],
  })) {
    assert.deepEqual(localAddresses(new URL(`http://${host}:5000`), names), expected, host);
  }
});

test('this machine knows itself without asking by netlink', (t) => {
  const [ip] = spawnSync('hostname', ['-I'], { encoding: 'utf8' }).stdout.trim().split(' ');
  if (!ip) return t.skip('no address but the loopback');
  assert.deepEqual(localAddresses(new URL(`http://${ip}:1`)), [ip]);
});

test('what a daemon notes is its own, and until it stops', async (t) => {
  const path = directory(t);
  const port = await listen(t, '::');
  const options = { directory: path };
  const targets = [`http://127.0.0.1:${port}`, `http://localhost:${port}`];
  const file = noted(path, port);
  assert.equal(portConflicts(targets, options).length, 2, 'before it says so');
  await file.start();
  const [name = ''] = fs.readdirSync(path);
  const note = JSON.parse(fs.readFileSync(join(path, name), 'utf8'));
  assert.deepEqual(
    { ...note, inodes: note.inodes.length },
    { pid: process.pid, peerId: '12D3KooW', host: '', port, inodes: 1 },
  );
  assert.deepEqual(portConflicts([...targets, `http://${hostname()}:${port}`], options), []);
  // Where Spegel has another port nobody else may have that one; another host.
  const [free, ...others] = portConflicts(['http://127.0.0.1:1', 'http://192.0.2.1:5000'], options);
  assert.match(free?.message ?? '', /to hold 127\.0\.0\.1:1, .* got nobody: any user could/);
  assert.deepEqual(others, []);
  await file.stop();
  assert.deepEqual(portConflicts(['http://127.0.0.1:1'], options), [], 'no Spegel runs yet');
  assert.deepEqual(fs.readdirSync(path), []);
});

test('another program on the port is named, also beside targets that are fine', async (t) => {
  const path = directory(t);
  const port = await listen(t, '127.0.0.1');
  await noted(path, port, '127.0.0.1').start();
  const other = await program(t, '127.0.0.1');
  const good = `http://127.0.0.1:${port}`;
  const bad = `http://127.0.0.1:${other.port}`;
  const [stranger, ...more] = portConflicts([good, bad], { directory: path });
  assert.deepEqual([stranger?.target, more], [bad, []]);
  assert.match(stranger?.message ?? '', new RegExp(`got \\S+ \\(pid ${other.pid}\\), and`));
  assert.deepEqual(portConflicts([bad], { directory: path, pids: [other.pid ?? 0] }), []);
});

test(
  'a note proves nothing where others may write, or of a socket of another user',
  NEEDS_ROOT,
  async (t) => {
    const path = directory(t);
    const { port } = await program(t, '127.0.0.1', 65_534);
    const targets = [`http://127.0.0.1:${port}`];
    const inodes = listeningSockets()
      .filter((one) => one.port === port)
      .map(({ inode }) => inode);
    const file = join(path, 'forged.json');
    fs.writeFileSync(file, JSON.stringify({ pid: 1, peerId: '', host: '', port, inodes }));
    assert.equal(portConflicts(targets, { directory: path }).length, 1, "root's note");
    fs.chownSync(file, 65_534, 65_534);
    assert.equal(portConflicts(targets, { directory: path }).length, 0, 'a note of its own user');
    fs.chmodSync(path, 0o1777);
    assert.equal(portConflicts(targets, { directory: path }).length, 1, 'all may write');
    fs.chmodSync(path, 0o755);
    for (const text of ['', '{', '[]', 'null', '{"inodes":5}', ' '.repeat(5_000)]) {
      fs.writeFileSync(file, text);
      assert.equal(portConflicts(targets, { directory: path }).length, 1, text.slice(0, 9));
    }
    fs.rmSync(file);
    spawnSync('mkfifo', [file]);
    assert.equal(portConflicts(targets, { directory: path }).length, 1, 'a pipe');
  },
);

test('a socket that systemd made as root is of the daemon that has it', NEEDS_ROOT, async (t) => {
  const path = directory(t);
  const port = await listen(t, '::');
  await noted(path, port).start();
  const [name = ''] = fs.readdirSync(path);
  fs.chownSync(join(path, name), 65_534, 65_534);
  assert.deepEqual(portConflicts([`http://127.0.0.1:${port}`], { directory: path }), []);
});

test('a daemon that may not write there goes on, and says so to who debugs', async (t) => {
  const lines: string[] = [];
  const log = createLogger('DEBUG', (line) => lines.push(line));
  const registry = { port: await listen(t, '127.0.0.1') };
  const directory = '/proc/no/such';
  const file = new PortNoteFile(
    { log, registry, router: { peerId: 'x' } },
    { directory, host: '' },
  );
  await file.start();
  await file.stop();
  assert.match(lines.join(''), /"level":"DEBUG".*which port is ours is not written down/);
});

test('what a name leads to is held in full, and by systemd where it holds a port for Spegel', async (t) => {
  const path = directory(t);
  const port = await listen(t, '127.0.0.1');
  await noted(path, port, '127.0.0.1').start();
  const nothing = { isInstalled: false, listens: [] as string[] };
  const messages = (target: string, systemd = nothing) =>
    portConflicts([target], { directory: path, systemd: () => systemd }).map((one) => one.message);
  const url = `http://127.0.0.1:${port}`;
  assert.deepEqual(messages(url), []);
  assert.match(messages(`http://localhost:${port}`)[0] ?? '', /to hold \[::1\]:\d+, .* got nobody/);
  const other = { isInstalled: true, listens: ['[::]:5000'] };
  assert.match(messages(url, other)[0] ?? '', /expected systemd to hold .* got \[::\]:5000/);
  assert.deepEqual(messages(url, { isInstalled: true, listens: [`127.0.0.1:${port}`] }), []);
  const stopped = { isInstalled: true, listens: [] };
  assert.match(messages('http://127.0.0.1:1', stopped)[0] ?? '', /start spegel\.service/);
});
