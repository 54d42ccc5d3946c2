/** Files without [host], which containerd 1.x does not read: our block would wake them up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CertsDirectory, MIRROR } from './support.ts';

interface Row {
  readonly text: string;
  /** Beside it. */
  readonly files?: Readonly<Record<string, string>>;
  /** What would come into force; undefined: nothing, it is joined. */
  readonly wakes?: string;
  readonly registry?: string;
}

const PAIR = { 'client.cert': '', 'client.key': '', 'ca.crt': '' };

const rows: Record<string, Row> = {
  'another server': { text: 'server = "https://other.example"\n', wakes: 'server' },
  'the registry itself': { text: 'server = "https://r.example"\n' },
  'the registry itself, without scheme': { text: 'server = "r.example"\n' },
  'the registry itself, with the path': { text: 'server = "https://r.example/v2/"\n' },
  'the registry itself, over http': { text: 'server = "http://r.example"\n', wakes: 'server' },
  'another path': { text: 'server = "https://r.example/proxy"\n', wakes: 'server' },
  'another port': { text: 'server = "https://r.example:8443"\n', wakes: 'server' },
  'its path is overridden': {
    text: 'server = "https://r.example"\noverride_path = true\n',
    wakes: 'server',
  },
  'an empty server': { text: 'server = ""\n' },
  'Docker Hub': { text: 'server = "https://registry-1.docker.io"\n', registry: 'docker.io' },
  'Docker Hub by its other name': {
    text: 'server = "https://docker.io"\n',
    registry: 'docker.io',
    wakes: 'server',
  },
  'a local registry': {
    text: 'server = "http://localhost:5000"\n',
    registry: 'localhost:5000',
    wakes: 'server',
  },
  _default: { text: 'server = "https://cache.example"\n', registry: '_default', wakes: 'server' },
  skip_verify: { text: 'skip_verify = true\n', wakes: 'skip_verify' },
  'verification as ever': { text: 'skip_verify = false\n' },
  'a header': { text: '[header]\nx = "y"\n', wakes: 'header' },
  'a key in capitals': { text: 'Server = "https://other.example"\n', wakes: 'server' },
  'fewer capabilities': {
    text: 'server = "https://r.example"\ncapabilities = ["pull"]\n',
    wakes: 'capabilities',
  },
  'a certificate from elsewhere': { text: 'ca = "/etc/other.crt"\n', wakes: 'ca' },
  'the certificates beside it': {
    text: 'ca = "ca.crt"\nclient = [["client.cert", "client.key"]]\n',
    files: PAIR,
  },
  'not all certificates beside it': {
    text: 'ca = "ca.crt"\n',
    files: { ...PAIR, 'b.crt': '' },
    wakes: 'ca',
  },
  'comments alone': { text: '# mine\n', files: PAIR },
  'an empty [host]': { text: 'server = "https://other.example"\n[host]\n' },
};

for (const [name, { text, files = {}, wakes, registry = 'r.example' }] of Object.entries(rows)) {
  test(`a file without hosts: ${name}`, async (t) => {
    const below = { 'hosts.toml': text, ...files };
    const certs = CertsDirectory.make(
      t,
      Object.fromEntries(
        Object.entries(below).map(([file, data]) => [`${registry}/${file}`, data]),
      ),
    );
    const own = `${registry}/hosts.toml`;
    const { problems } = await certs.configure();
    if (wakes === undefined) assert.deepEqual(problems, []);
    else {
      assert.match(problems[0]?.message ?? '', new RegExp(`put its ${wakes} in force`));
      assert.equal(problems[0]?.dependsOnVersion, true);
      assert.equal(certs.read(own), text);
    }
    assert.deepEqual((await certs.configure({ isContainerd2: true })).problems, []);
    assert.ok(certs.read(own).includes(MIRROR));
    // Whoever goes back to an older containerd gets the file back as it was.
    if (wakes !== undefined) {
      await certs.configure();
      assert.equal(certs.read(own), text);
    }
  });
}

test('who names the registry by the URL that the file has wants it in force', async (t) => {
  const text = 'server = "http://r.example:5000"\n';
  const certs = CertsDirectory.make(t, { 'r.example:5000/hosts.toml': text });
  const registries = [{ host: 'r.example:5000', url: 'http://r.example:5000' }];
  assert.deepEqual((await certs.configure({ registries })).problems, []);
});

test('files that are set aside are no other', async (t) => {
  const certs = CertsDirectory.make(t, {
    'r.example/hosts.toml': 'server = "https://o.example"\n',
  });
  const { problems } = await certs.configure({ prependExisting: false });
  assert.equal(problems.length, 1);
});

test('a _default that is dead is not copied into a directory of our own', async (t) => {
  const certs = CertsDirectory.make(t, { '_default/hosts.toml': 'server = "https://c.example"\n' });
  const registries = [{ host: 'new.example', url: undefined }];
  const excluded = ['left.example'];
  const { problems, changes } = await certs.configure({ registries, excluded });
  assert.deepEqual([problems.length, changes], [2, []]);
  assert.ok(problems.every(({ dependsOnVersion }) => dependsOnVersion));
});
