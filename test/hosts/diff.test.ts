/** What a dry run shows of a file. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffOf } from '../../lib/hosts/diff.ts';

const BLOCK = '[host."http://127.0.0.1:5000"]\n  capabilities = ["pull", "resolve"]\n';

for (const [name, text] of Object.entries({
  'a table': '[host."https://m".header]\nx-token = "s3cret"\n"authorization" = "Basic s3cret"\n',
  'a table of another name': "[host.'https://m'.\"header\"]\n'X-Api-Key' = ['s3cret', 's3cret']\n",
  'several lines': '[host."https://m".header]\nx-token = [\n  "s3cret",\n  "s3cret", # s3cret\n]\n',
  'an inline table': '[host."https://m"]\nheader = { x-token = ["s3cret"], y = "s3cret" }\n',
  'a dotted key': 'host."https://m".header.x-token = "s3cret"\n',
  'an inline table of a host': '[host]\n"https://m" = { header = { a = "s3cret" } }\n',
  'a string of several lines': '[host."https://m".header]\na = """\ns3cret = "s3cret"\n"""\n',
  'the root': '[header]\na = "s3cret"\n',
  'no line end': '[host."https://m".header]\na = "s3cret"',
  'lines of another system': '[host."https://m".header]\r\na = "s3cret"\r\n',
})) {
  test(`no value of a header is shown: ${name}`, () => {
    const change = {
      path: '/x/hosts.toml',
      action: 'change',
      before: text,
      after: `${text}\n${BLOCK}`,
    } as const;
    for (const [before, after] of [
      [text, change.after],
      [change.after, text],
      [undefined, text],
      [text, undefined],
    ]) {
      const diff = diffOf({ ...change, before, after });
      assert.doesNotMatch(diff, /s3cret/, diff);
    }
    assert.match(diffOf({ ...change, before: undefined }), /127\.0\.0\.1:5000/);
    assert.match(diffOf({ ...change, before: undefined }), /<hidden>/);
  });
}

test('what is no header is shown', () => {
  const before = '# of the administrator\nserver = "https://r"\n[host."https://m"]\nca = "/x"\n';
  const diff = diffOf({ path: '/x/hosts.toml', action: 'add', before: undefined, after: before });
  for (const line of before.trim().split('\n')) assert.ok(diff.includes(`+${line}\n`), diff);
});

test('a directory without a file has no diff, and the line says what is done to it', () => {
  const none = { before: undefined, after: undefined };
  const line = diffOf({ path: '/certs.d/a.io', action: 'add', ...none });
  assert.equal(line, '/certs.d/a.io: add the directory, which has no hosts.toml\n');
});

test('a header that alone has changed is said to be, and not shown', () => {
  const text = (token: string) => `[host."https://m".header]\nx-token = "${token}"\n`;
  const diff = diffOf({
    path: '/x/hosts.toml',
    action: 'change',
    before: text('a1'),
    after: text('b2'),
  });
  assert.match(diff, /only credentials/);
});
