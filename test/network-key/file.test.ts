import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import type { SpegelError } from '../../lib/base/errors.ts';
import { parseNetworkKeys, readNetworkKeys } from '../../lib/network-key/file.ts';
import { networkKey } from '../../lib/network-key/network-key.ts';

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

test('a file that others can read, that is none, or is too long is refused', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-keys-'));
  t.after(() => rm(directory, { recursive: true }));
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
