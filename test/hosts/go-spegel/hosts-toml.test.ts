import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeGoHostsToml } from '../../../lib/hosts/go-spegel/hosts-toml.ts';

const target = (url: string, more = '') =>
  `[host.'${url}']\ncapabilities = ['pull', 'resolve']\ndial_timeout = '200ms'${more}`;
const LOCAL = target('http://127.0.0.1:5000');
const GHCR = `server = 'https://ghcr.io'\n\n${LOCAL}`;

/** The file before Go Spegel, and what it makes of its hosts, as its own test has them. */
const BEFORE = `server = "https://registry-1.docker.io"
[host."https://mirror.registry"]
  capabilities = ["pull"]
  ca = "/etc/certs/mirror.pem"
  skip_verify = false
  [host."https://mirror.registry".header]
    x-custom-2 = ["value1", "value2"]

[host]

[host."https://test-2.registry".header] # comes before its host
  x-custom-2 = ["#foo"]

[host."https://test-1.registry"]
  capabilities = ["pull", "resolve", "push"]
  client = [["/etc/certs/client.cert", "/etc/certs/client.key"],["/etc/certs/client.pem", ""]]

[host."https://test-2.registry"]
  client = "/etc/certs/it's.pem"
`;
const AFTER = `[host.'https://mirror.registry']
ca = '/etc/certs/mirror.pem'
capabilities = ['pull']
skip_verify = false

[host.'https://mirror.registry'.header]
x-custom-2 = ['value1', 'value2']

[host.'https://test-1.registry']
capabilities = ['pull', 'resolve', 'push']
client = [['/etc/certs/client.cert', '/etc/certs/client.key'], ['/etc/certs/client.pem', '']]

[host.'https://test-2.registry']
client = "/etc/certs/it's.pem"

[host.'https://test-2.registry'.header]
x-custom-2 = ['#foo']`;

test("every form of Go Spegel's hosts.toml is known", () => {
  const header = (url: string) =>
    `\n[host.'${url}'.header]\nAuthorization = 'Basic aGVsbG86d29ybGQ='`;
  const [one, two] = ['http://127.0.0.1:5000', 'http://127.0.0.2:5000'];
  const forms: [string, string][] = [
    ['_default', LOCAL],
    ['ghcr.io', GHCR],
    ['docker.io', GHCR.replace('ghcr.io', 'registry-1.docker.io')],
    ['foo.bar:5000', GHCR.replace('https://ghcr.io', 'http://foo.bar:5000')],
    ['ghcr.io', GHCR.replace(", 'resolve'", '')],
    ['ghcr.io', GHCR.replace("\ndial_timeout = '200ms'", '')],
    ['ghcr.io', `${GHCR}\n\n${target(two)}`],
    ['_default', `${target(one, header(one))}\n\n${target(two, header(two))}`],
    [
      'ghcr.io',
      `server = 'https://ghcr.io'\n\n[host]\n[host.'${one}']\ncapabilities = ['pull']\n\n[host.'${two}']\ncapabilities = ['pull']\n`,
    ],
  ];
  for (const [registry, text] of forms) {
    assert.equal(judgeGoHostsToml(registry, text, undefined), 'written', text);
    assert.equal(judgeGoHostsToml(registry, text, BEFORE), 'written', text);
    assert.equal(judgeGoHostsToml('other.io', text, undefined), undefined, text);
  }
});

test('--prepend-existing: the hosts of the file before follow', () => {
  assert.equal(judgeGoHostsToml('ghcr.io', `${GHCR}\n\n${AFTER}`, BEFORE), 'written');
  assert.equal(judgeGoHostsToml('ghcr.io', `${GHCR}\n\n${AFTER}`, undefined), 'edited');
  // A host that was there before looks like a target.
  const like = target('http://10.0.0.1');
  const before = `${like}\noverride_path = true\n\n${target('http://10.0.0.2')}`;
  const after = `${GHCR}\n\n${before.replace(/dial.*\noverride.*/, "dial_timeout = '200ms'\noverride_path = true")}`;
  assert.equal(judgeGoHostsToml('ghcr.io', after, before), 'written');
  assert.equal(judgeGoHostsToml('ghcr.io', `${GHCR}\n\n${like}`, like), 'written');
  // The oldest form repeats the server, too.
  const old = `server = 'https://a.example'\n\n[host]\n[host.'http://127.0.0.1:5000']\ncapabilities = ['pull']\n\n[host.'https://b']\nskip_verify = true\n`;
  const old1 = `server = "https://a.example"\n[host."https://b"]\nskip_verify = true`;
  assert.equal(judgeGoHostsToml('ghcr.io', old, old1), 'written');
  assert.equal(judgeGoHostsToml('ghcr.io', old, undefined), undefined);
});

test('whatever a person did to it makes it edited', () => {
  const text = `${GHCR}\n\n${AFTER}`;
  const edits = [
    `${text}\n`,
    `${GHCR}\n`,
    `${GHCR}\n# mine`,
    `${GHCR}\nskip_verify = true`,
    `${GHCR}\n\n[host.'https://mine']`,
    `${GHCR}\n\n${target('https://mine/v2/proxy')}`,
    `${GHCR}\n\n${LOCAL.replace(", 'resolve'", '')}`,
    text.replace("['pull', 'resolve', 'push']", "['pull']"),
    text.replace('skip_verify = false', 'skip_verify = false # mine'),
    text.replace('\nskip_verify', '\n# mine\nskip_verify'),
    text.replace('\nskip_verify', '\n  skip_verify'),
    text.replace('\nskip_verify = false', ''),
    `${GHCR}\n\n${AFTER.split('\n\n').slice(2).concat(AFTER.split('\n\n').slice(0, 2)).join('\n\n')}`,
    `${text}\n\n[host.'https://mine']\nskip_verify = true`,
    `${text}\n\n[mine]`,
    `${GHCR}\n\n[`,
  ];
  for (const edit of edits) assert.equal(judgeGoHostsToml('ghcr.io', edit, BEFORE), 'edited', edit);
});

test('what only looks alike is not', () => {
  const others = [
    '',
    "server = 'https://ghcr.io'",
    `# mine\n${GHCR}`,
    GHCR.replaceAll("'", '"'),
    GHCR.replaceAll('\n', '\r\n'),
    GHCR.replace('\n\n', '\n'),
    GHCR.replace("'pull', ", "'pull',"),
    GHCR.replace("['pull', 'resolve']", "['pull', 'resolve', 'push']"),
    LOCAL,
    '\0\0',
  ];
  for (const text of others) {
    assert.equal(judgeGoHostsToml('ghcr.io', text, BEFORE), undefined, text);
  }
});
