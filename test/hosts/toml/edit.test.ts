import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findBlocks, hostTables, marked, registryLines } from '../../../lib/hosts/toml/block.ts';
import { ownFile, ownFileOrCopy, withBlock, withoutBlocks } from '../../../lib/hosts/toml/edit.ts';
import { LeftAlone } from '../../../lib/hosts/toml/left-alone.ts';
import { meaningOf } from '../../../lib/hosts/toml/semantics.ts';

const MIRROR = 'http://127.0.0.1:5000';
const HOSTS = hostTables({
  targets: [MIRROR],
  resolveTags: true,
  dialTimeoutMs: 1000,
  authorization: undefined,
});
const ADDITION = { root: '', hosts: HOSTS };

/** A text and the first line behind our block in it; undefined where the block is last. */
const joined: Record<string, [string, string | undefined]> = {
  nothing: ['', undefined],
  'root keys only': ['server = "https://a"\n', undefined],
  'root keys, no line end': ['server = "https://a"', undefined],
  'comment, no line end': ['# nothing yet #', undefined],
  'one host': ['server = "https://a"\n\n[host."https://b"]\n', '[host."https://b"]'],
  'a comment above the host': ['a = 1\n\n# b\n# bb\n[host."b"]\n', '# b'],
  'a comment further above': ['# licence\n\n[host."b"]\n', '[host."b"]'],
  'a comment behind a key': ['a = 1 # x\n[host."b"]\n', '[host."b"]'],
  'blanks and other quotes': ["  [ host . 'b' ] # c\n\tx = 1\n", "  [ host . 'b' ] # c"],
  'a sub-table first': ['[host."b".header]\nx = "y"\n[host."b"]\n', '[host."b".header]'],
  'a header table of the root': ['[header]\nx = "y"\n[host."b"]\n', '[host."b"]'],
  'only a header table of the root': ['server = "s"\n[header]\nx = "y"\n', '[header]'],
  'dotted keys in [host]': ['[host]\n"b".capabilities = ["pull"]\n', '[host]'],
  'a string that looks like a host': ['a = """\n[host."x"]\n"""\n[host."b"]\n', '[host."b"]'],
  'an array over lines': ['ca = [\n"[host]", # ]\n]\n[host."b"]\n', '[host."b"]'],
  'windows line ends': ['server = "s"\r\n\r\n# b\r\n[host."b"]\r\n', '# b\r'],
  'a byte order mark': ['\uFEFF[host."b"]\n', '[host."b"]'],
  'quotes at the end of a string': ["a = '''x''''\n[host.b]\n", '[host.b]'],
};
for (const [name, [text, behind]] of Object.entries(joined)) {
  test(`our block joins a file: ${name}`, () => {
    const after = withBlock(text, ADDITION);
    const [block] = findBlocks(after) ?? [];
    assert.ok(block);
    const rest = after.slice(block.end);
    assert.equal(rest === '' ? undefined : rest.split('\n')[0], behind);
    assert.deepEqual(meaningOf(after).order, [MIRROR, ...meaningOf(text).order]);
    assert.equal(withoutBlocks(after, undefined), text);
  });
}

const refused: Record<string, [string, RegExp]> = {
  'no TOML': ['server = \n', /expected TOML, got an end of the line in line 1/],
  'a table twice': ['[host.a]\n[host.a]\n', /expected TOML, got in line 2: Cannot redefine/],
  'a host as inline root key': ['host = { "https://b" = {} }\n', /hosts as tables/],
  'a host as dotted root key': ['host."https://b".x = 1\n', /hosts as tables/],
  'an inline host in [host]': ['[host]\n"https://b" = {}\n', /hosts as tables/],
  'hosts in an array': ['[[host]]\n', /`host` to hold tables/],
  'the mirror itself': [
    `[host.'${MIRROR}']\n`,
    /it has a \[host."http:\/\/127.0.0.1:5000"\] of its/,
  ],
};
for (const [name, [text, message]] of Object.entries(refused)) {
  test(`a file that our block cannot join: ${name}`, () => {
    assert.throws(
      () => withBlock(text, ADDITION),
      (error) => {
        assert.ok(error instanceof LeftAlone);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

test('lines for the root come in front of every table, also of the header of the root', () => {
  const root = registryLines({ ca: ['ca.crt'], client: [['a.cert', 'a.key']] });
  const after = withBlock('server = "s"\n[header]\nx = "y"\n', { root, hosts: HOSTS });
  assert.deepEqual(
    { ...meaningOf(after).root },
    {
      server: 's',
      header: Object.assign(Object.create(null), { x: 'y' }),
      ca: ['ca.crt'],
      client: [['a.cert', 'a.key']],
    },
  );
});

test('lines for the root come in front of a table that stands before the hosts', () => {
  const text = '[header]\nx = "y"\n[host."https://b"]\n';
  const after = withBlock(text, { root: 'server = "http://a"\n', hosts: HOSTS });
  assert.equal(meaningOf(after).root.server, 'http://a');
  assert.deepEqual(meaningOf(after).order, [MIRROR, 'https://b']);
  assert.equal(withoutBlocks(after, undefined), text);
});

test('a whole file of ours says what was read before, with the mirror in front', () => {
  const text = 'capabilities = ["pull"]\n[host."https://harbor"]\nx = 1';
  const file = ownFile(text, { root: 'server = "https://a"\n', hosts: HOSTS });
  assert.deepEqual(meaningOf(file).order, [MIRROR, 'https://harbor']);
  assert.equal(meaningOf(file).root.server, 'https://a');
  assert.equal(withoutBlocks(file, undefined), '');
  const copy = ownFile(text, { root: '', hosts: '' });
  assert.deepEqual(meaningOf(copy), meaningOf(text));
});

test('what stands behind a block that began in a line of its own stays in a line of its own', () => {
  const after = `${withBlock('server = "s"', ADDITION)}[host."b"]\n`;
  assert.equal(withoutBlocks(after, undefined), 'server = "s"\n[host."b"]\n');
});

test('line ends of ours may change, and a block may stand in a copy', () => {
  const after = withBlock('server = "s"\n', ADDITION).replaceAll('\n', '\r\n');
  assert.equal(withoutBlocks(after, undefined), 'server = "s"\r\n');
  const twice = withBlock('', ADDITION) + withBlock('', ADDITION);
  assert.equal(withoutBlocks(`a = 1\n${twice}`, undefined), 'a = 1\n');
});

/**
 * An edit inside of the block, and the text without the block; undefined where it cannot be kept.
 */
const edits: Record<string, [(text: string) => string, string | undefined]> = {
  'a comment': [(text) => text.replace('dial_', '# mine\ndial_'), '# mine\n'],
  'a host behind ours': [
    (text) => text.replace('# <<<', '[host."mine"]\nx = 1\n# <<<'),
    '[host."mine"]\nx = 1\n',
  ],
  'a line that is gone': [(text) => text.replace('dial_timeout = "1s"\n', ''), undefined],
  'another value': [(text) => text.replace('"1s"', '"2s"'), undefined],
  'a key in our table': [(text) => text.replace('# <<<', 'skip_verify = true\n# <<<'), undefined],
};
for (const [name, [edit, rest]] of Object.entries(edits)) {
  test(`an edited block: ${name}`, () => {
    const text = edit(withBlock('server = "s"\n', ADDITION));
    assert.throws(() => withoutBlocks(text, undefined), LeftAlone);
    if (rest === undefined) assert.throws(() => withoutBlocks(text, HOSTS), LeftAlone);
    else assert.equal(withoutBlocks(text, HOSTS), `server = "s"\n${rest}`);
  });
}

test('a mark without its partner, or out of order, is nobody knows what', () => {
  const text = withBlock('', ADDITION);
  const [, ...lines] = text.split('\n');
  for (const broken of [
    lines.join('\n'),
    text.replace('# <<< spegel\n', ''),
    `${text}# <<< spegel\n`,
  ]) {
    assert.equal(findBlocks(broken), undefined);
    assert.throws(() => withoutBlocks(broken, HOSTS), LeftAlone);
  }
});

test('what is quoted comes back as it was', () => {
  const odd = 'a"b\\c\u007f\u0001\té😀.crt';
  const text = marked(registryLines({ ca: [odd], client: [[odd, 'k']] }));
  assert.deepEqual(meaningOf(text).root.ca, [odd]);
  assert.deepEqual(meaningOf(text).root.client, [[odd, 'k']]);
});

test('a text with a lone mark of ours makes no file that cannot be taken out', () => {
  const text = '# >>> spegel 0123456789ab: a look-alike\n';
  assert.throws(() => ownFile(text, ADDITION), LeftAlone);
  assert.equal(withoutBlocks(ownFileOrCopy(text, ADDITION), undefined), '');
});
