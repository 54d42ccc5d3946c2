import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { SpegelError } from '../../lib/base/errors.ts';
import { createLogger } from '../../lib/base/log.ts';
import { LogRateLimit } from '../../lib/base/log-rate-limit.ts';
import { parseNetworkKeys, readNetworkKeys } from '../../lib/network-key/file.ts';
import { networkKey } from '../../lib/network-key/network-key.ts';
import { NetworkKeyRing } from '../../lib/network-key/ring.ts';

const OLD = '0123456789abcdef'.repeat(4);
const NEW = 'fedcba9876543210'.repeat(4);
const THIRD = '5a'.repeat(32);
const SWARM = `/key/swarm/psk/1.0.0/\n/base16/\n${OLD}`;

function hexOf(text: string): string[] {
  return parseNetworkKeys('file', text).map(({ dht }) => dht.export().toString('hex'));
}

const GOOD: Record<string, [string, string[]]> = {
  'one key': [`${OLD}\n`, [OLD]],
  'no line end': [OLD, [OLD]],
  'two keys': [`${NEW}\n${OLD}\n`, [NEW, OLD]],
  'comments, blanks and CRLF': [`# fleet\r\n\r\n  ${NEW} \r\n#${THIRD}\r\n${OLD}\r\n`, [NEW, OLD]],
  'capital digits': [OLD.toUpperCase(), [OLD]],
  'a swarm.key': [SWARM, [OLD]],
  'a key and a swarm.key': [`${NEW}\n${SWARM}\n`, [NEW, OLD]],
};
for (const [name, [text, expected]] of Object.entries(GOOD)) {
  test(`key file: ${name}`, () => assert.deepEqual(hexOf(text), expected));
}

const BAD: Record<string, string> = {
  nothing: '',
  'comments only': '# no key yet\n\n',
  'a digit too few': OLD.slice(1),
  'a digit too many': `${OLD}0`,
  'no hex': `${OLD.slice(1)}g`,
  'three keys': `${OLD}\n${NEW}\n${THIRD}`,
  'the same key twice': `${OLD}\n${OLD.toUpperCase()}`,
  'two keys in a line': `${OLD} ${NEW}`,
  'a comment behind a key': `${OLD} # old`,
  'half a swarm.key': `/key/swarm/psk/1.0.0/\n${OLD}`,
  'a swarm.key without its key': '/key/swarm/psk/1.0.0/\n/base16/\n',
  'a swarm.key in another form': `/key/swarm/psk/1.0.0/\n/base64/\n${OLD}`,
};
for (const [name, text] of Object.entries(BAD)) {
  test(`key file refused: ${name}`, () => {
    assert.throws(
      () => parseNetworkKeys('/etc/key', text),
      (error: SpegelError) => {
        assert.equal(error.code, 'ERR_NETWORK_KEY');
        assert.match(error.message, /^network key file \/etc\/key: expected .+, got .+; .+/);
        assert.doesNotMatch(error.message, /[0-9a-f]{16}/i, 'a key is in the message');
        return true;
      },
    );
  });
}

test('a key prints as nothing, and its uses have different bytes', () => {
  const key = networkKey(Buffer.from(OLD, 'hex'));
  const printed = inspect(key, { depth: 9, showHidden: true }) + JSON.stringify(key);
  for (const secret of [key.dht, key.http]) {
    const bytes = secret.export();
    assert.ok(!printed.includes(bytes.toString('hex').slice(0, 8)));
    assert.ok(!printed.includes(bytes.toString('base64').slice(0, 8)));
  }
  assert.ok(!key.http.equals(key.dht));
  assert.ok(!OLD.includes(key.fingerprint));
});

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-keys-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

test('a file that others can read, that is none, or is too long is refused', async (t) => {
  const directory = await scratch(t);
  const refused = async (path: string, message: RegExp) =>
    assert.rejects(readNetworkKeys(path), { code: 'ERR_NETWORK_KEY', message });
  const path = join(directory, 'key');
  await refused(
    path,
    /expected a file, got none; copy it from another host; on the first host .*'spegel key new'/,
  );
  await mkdir(path, { mode: 0o700 });
  await refused(path, /got something else/);
  const file = join(directory, 'file');
  await writeFile(file, OLD);
  for (const mode of [0o644, 0o640, 0o602]) {
    await chmod(file, mode);
    await refused(file, /expected a file of mode 0600, got mode 06..; chmod 600/);
  }
  await chmod(file, 0o400);
  assert.equal((await readNetworkKeys(file)).keys.length, 1);
  const long = join(directory, 'long');
  await writeFile(long, `${OLD}\n`.padEnd(5_000, '#'), { mode: 0o600 });
  await refused(long, /5000 bytes/);
});

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not in time: ${condition}`);
    await sleep(5);
  }
}

test('a ring reads its file again when it changes, and keeps its keys over a bad one', async (t) => {
  const path = join(await scratch(t), 'key');
  const write = async (text: string) => {
    await writeFile(`${path}.new`, text, { mode: 0o600 });
    await rename(`${path}.new`, path);
  };
  const lines: string[] = [];
  const log = createLogger('DEBUG', (line) => lines.push(line));
  const ring = new NetworkKeyRing({ log }, path, 10);
  const signal = new AbortController().signal;
  assert.throws(() => ring.accepted(), /have not been read/);
  await assert.rejects(ring.start(signal), SpegelError);
  await write(OLD);
  await ring.start(signal);
  t.after(() => ring.stop());
  let changes = 0;
  ring.onChange(() => {
    changes += 1;
  });
  const hex = () => ring.accepted().map(({ dht }) => dht.export().toString('hex'));
  assert.deepEqual(hex(), [OLD]);
  await write(`${OLD}\n${NEW}`);
  await until(() => changes === 1);
  assert.deepEqual(hex(), [OLD, NEW]);
  await write(`${NEW}\n${OLD}`);
  await ring.reload();
  assert.deepEqual(hex(), [NEW, OLD]);
  const errors = () => lines.filter((line) => line.includes('"ERROR"'));
  await write('a typo');
  await until(() => errors().length > 0);
  await Promise.all([ring.reload(), ring.reload(), sleep(60)]);
  assert.equal(errors().length, 1, lines.join(''));
  assert.deepEqual(hex(), [NEW, OLD]);
  assert.equal(changes, 2);
  await rm(path);
  await until(() => errors().length === 2);
  await write(`# same\n${NEW}\n${OLD}`);
  await ring.reload();
  assert.equal(changes, 2, 'another comment is no other key');
  await write(NEW);
  await until(() => changes === 3);
  await ring.stop();
  await write(OLD);
  await sleep(50);
  assert.deepEqual(hex(), [NEW]);
  assert.doesNotMatch(lines.join(''), /[0-9a-f]{16}/, 'a key is in the log');
});

test('a listener that fails keeps neither the new keys nor the other listeners back', async (t) => {
  const path = join(await scratch(t), 'key');
  await writeFile(path, OLD, { mode: 0o600 });
  const lines: string[] = [];
  const log = createLogger('DEBUG', (line) => lines.push(line));
  const ring = new NetworkKeyRing({ log }, path, 60_000);
  await ring.start(new AbortController().signal);
  t.after(() => ring.stop());
  let changes = 0;
  ring.onChange(() => {
    throw new Error('on purpose');
  });
  ring.onChange(() => {
    changes += 1;
  });
  await writeFile(path, NEW);
  await ring.reload();
  assert.equal(changes, 1);
  assert.equal(ring.accepted()[0].dht.export().toString('hex'), NEW);
  assert.match(lines.at(-1) ?? '', /a part failed to take them up.*on purpose/);
  assert.doesNotMatch(lines.join(''), /not changed/);
});

test('a line that strangers can cause is told once per period and key, and so many at most', () => {
  let now = 0;
  const limit = new LogRateLimit(1_000, 2, () => now);
  assert.deepEqual(
    ['a', 'a', 'b', 'c', 'a'].map((key) => limit.admit(key)),
    [0, undefined, 1, undefined, undefined],
  );
  now = 1_000;
  assert.deepEqual([limit.admit('a'), limit.admit('a')], [2, undefined]);
});
