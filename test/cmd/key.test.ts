/**
 * `spegel key`: a key is changed in steps, each of which says the next, and no key is ever printed.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runCommandLine } from '../../cmd/command-line.ts';
import { keyCommand } from '../../cmd/key.ts';
import { flock } from '../../lib/base/flock.ts';
import { networkKey } from '../../lib/network-key/network-key.ts';

const keyOf = (byte: string) => {
  const hex = byte.repeat(32);
  return { hex, name: networkKey(Buffer.from(hex, 'hex')).fingerprint };
};
const [OLD, NEW, THIRD] = [keyOf('1a'), keyOf('2b'), keyOf('3c')] as const;
const SWARM = `/key/swarm/psk/1.0.0/\n/base16/\n${NEW.hex}`;

function scratch(t: TestContext, text?: string) {
  const directory = mkdtempSync(join(tmpdir(), 'spegel-key-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'network.key');
  if (text !== undefined) writeFileSync(path, text, { mode: 0o600 });
  const read = () => readFileSync(path, 'utf8');
  const key = async (words: string, input = '') => {
    const output = { stdout: '', stderr: '' };
    const argv = ['key', ...words.split(' '), '--network-key-file', path];
    const status = await runCommandLine(argv, [keyCommand], {
      env: {},
      stdout: (chunk) => {
        output.stdout += chunk;
      },
      stderr: (chunk) => {
        output.stderr += chunk;
      },
      async *stdin() {
        yield Buffer.from(input);
      },
      events: { on: () => {}, off: () => {} },
      exit: () => {},
    });
    assert.doesNotMatch(output.stdout + output.stderr, /[0-9a-f]{16}/i, 'a key was printed');
    return { status, ...output };
  };
  return { directory, path, read, key };
}

test('a first key is made in a file of its owner alone', async (t) => {
  const { path, read, key } = scratch(t);
  const { status, stdout } = await key('new');
  assert.equal(status, 0);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.match(read(), /^[0-9a-f]{64}\n$/);
  assert.match(stdout, /^made .*\nused {5}[0-9a-f]{8}\nnext: the same file on every host/);
});

test('a rotation on two hosts: each step says the next, and the same call again changes nothing', async (t) => {
  const first = scratch(t, `# of this fleet\n${OLD.hex}\n`);
  const second = scratch(t, OLD.hex);
  const made = await first.key('new');
  const [, name = ''] = /^added ([0-9a-f]{8}) to /.exec(made.stdout) ?? [];
  assert.match(made.stdout, new RegExp(`^used {5}${OLD.name}\naccepted ${name}$`, 'm'));
  assert.match(
    made.stdout,
    /^next: on each other host: ssh root@\S+ cat \S+network\.key \| spegel key add --from=- /m,
  );
  const use = `use --key=${name}`;
  assert.ok(made.stdout.includes('then: when every host has it') && made.stdout.includes(use));
  const shared = first.read();
  assert.match(shared, new RegExp(`^# of this fleet\n${OLD.hex}\n[0-9a-f]{64}\n$`));
  assert.ok((await second.key('add --from -', shared)).stdout.includes(use));
  assert.equal(second.read(), shared.replace('# of this fleet\n', ''));
  const added = second.read();
  assert.match((await second.key('add --from -', shared)).stdout, /^nothing to add/);
  assert.equal(second.read(), added);
  for (const { key, read } of [first, second]) {
    const { stdout } = await key(use);
    assert.ok(stdout.includes(`on each: spegel key remove --key=${OLD.name}`), stdout);
    const swapped = read();
    assert.equal(swapped.trimEnd().split('\n').at(-1), OLD.hex);
    assert.match((await key(use)).stdout, /was used already/);
    assert.equal(read(), swapped);
    const shown = JSON.parse((await key('show --json')).stdout);
    assert.deepEqual([shown.used, shown.others], [name, [OLD.name]]);
  }
  for (const { key, read } of [first, second]) {
    assert.match((await key(`remove --key=${OLD.name}`)).stdout, /the change is over/);
    assert.ok(!read().includes(OLD.hex));
    const left = read();
    assert.equal((await key(`remove --key=${OLD.name}`)).status, 0);
    assert.equal(read(), left);
  }
  assert.equal(second.read(), first.read().replace('# of this fleet\n', ''));
});

test('comments, CRLF and a swarm.key stay as they are, also without an end of the last line', async (t) => {
  const text = `# a\r\n${OLD.hex}\r\n# b\r\n\n${SWARM}`;
  const { read, key } = scratch(t, text);
  await key(`use --key ${NEW.name}`);
  assert.equal(read(), `# a\r\n${SWARM}\n# b\r\n\n${OLD.hex}\r`);
  await key(`remove --key ${OLD.name}`);
  assert.equal(read(), `# a\r\n${SWARM}\n# b\r\n`);
  await key('add --from -', OLD.hex);
  assert.equal(read(), `# a\r\n${SWARM}\n# b\r\n${OLD.hex}\n`);
});

test('mode and owner stay, a link stays one, and nothing is left beside it', async (t) => {
  const { directory, path, key } = scratch(t, `${OLD.hex}\n`);
  const real = join(directory, 'real');
  writeFileSync(real, `${OLD.hex}\n`, { mode: 0o400 });
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) chownSync(real, 12, 34);
  rmSync(path);
  symlinkSync(real, path);
  const before = statSync(real);
  assert.equal((await key('new')).status, 0);
  assert.ok(lstatSync(path).isSymbolicLink());
  const { mode, uid, gid, ino } = statSync(real);
  assert.deepEqual([mode, uid, gid], [before.mode, before.uid, before.gid]);
  assert.notEqual(ino, before.ino, 'it was written in place');
  assert.deepEqual(readdirSync(directory).sort(), ['network.key', 'real']);
});

test('what is refused changes nothing, and says why', async (t) => {
  const { path, read, key } = scratch(t, `${OLD.hex}\n${NEW.hex}\n`);
  const refused = async (words: string, status: number, message: RegExp, input = '') => {
    const before = read();
    const outcome = await key(words, input);
    assert.equal(outcome.status, status, outcome.stderr);
    assert.match(outcome.stderr, message);
    assert.equal(read(), before);
  };
  await refused('new', 1, /expected one key, got two/);
  await refused('add --from -', 1, /expected one key, got two/, THIRD.hex);
  await refused(
    `use --key ${THIRD.name}`,
    1,
    new RegExp(`got ${OLD.name} and ${NEW.name}; put it`),
  );
  const first = `first, on every host: spegel key use --key=${NEW.name}`;
  await refused(`remove --key ${OLD.name}`, 1, new RegExp(`which is; ${first}`));
  await refused('use', 2, /key use: expected --key <fingerprint>, got none/);
  await refused('add', 2, /key add: expected --from <path>, got none/);
  await refused('show --from -', 2, /key show: expected no --from, got one/);
  await refused(`use --key ${NEW.hex}`, 2, /--key: expected a fingerprint of 8 hex digits/);
  await refused(
    'add --from -',
    1,
    /\(standard input\): expected one key.*; give it the key file/,
    'no key',
  );
  await refused(
    'add --from /nofile',
    1,
    /\/nofile: expected a file, got none; give it the key file/,
  );
  await refused(
    'add --from -',
    2,
    /standard input: expected at most 4096 bytes/,
    'x'.repeat(5_000),
  );
  await key(`remove --key ${NEW.name}`);
  await refused('add --from -', 1, /of another network/, `${NEW.hex}\n${THIRD.hex}`);
  await refused(`remove --key ${OLD.name}`, 1, /it is the only one/);
  for (const text of [`${OLD.hex}\noops\n`, '', `${OLD.hex}\n`.padEnd(4_097, '#')]) {
    writeFileSync(path, text);
    for (const words of ['new', `use --key ${OLD.name}`, `remove --key ${NEW.name}`, 'show']) {
      await refused(words, 1, /network key file .*: expected/);
    }
  }
  writeFileSync(path, `${OLD.hex}\n`);
  chmodSync(path, 0o644);
  await refused('new', 1, /chmod 600/);
  // The room for comments ends somewhere: the daemon would not read what came of it.
  chmodSync(path, 0o600);
  writeFileSync(path, `${OLD.hex}\n`.padEnd(4_090, '#'));
  await refused('new', 1, /bytes/);
});

test('of two at once one is refused, and a lock ends with its process', async (t) => {
  const { path, read, key } = scratch(t, `${OLD.hex}\n`);
  const descriptor = openSync(path, 'r');
  assert.equal(flock(descriptor), 'locked');
  const { status, stderr } = await key('new');
  assert.equal(status, 1);
  assert.match(stderr, /another spegel is just changing it; nothing was changed/);
  assert.equal(read(), `${OLD.hex}\n`);
});
