import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configPathListFindings } from '../../../lib/install/containerd/config-path-list.ts';
import { isAtLeast } from '../../../lib/install/containerd/containerd-check.ts';
import { configFileOf } from '../../../lib/install/containerd/cri-config.ts';
import { type CriContext, criFindings } from '../../../lib/install/containerd/cri-findings.ts';
import {
  criTablesOf,
  settingsOfDump,
  settingsOfStatus,
} from '../../../lib/install/containerd/cri-settings.ts';
import { listToTake } from '../../../lib/install/containerd/find-containerd.ts';

const CERTS_D = '/etc/containerd/certs.d';
const V2 = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n';
const V3 = 'version = 3\n[plugins."io.containerd.cri.v1.images".registry]\n';
const TRANSFER = '[plugins."io.containerd.transfer.v1.local"]\n';
const FILE = '/etc/containerd/config.toml';
const path = (value: string) => `config_path = "${value}"\n`;

function context(text: string, newest: 2 | 3): CriContext {
  const tables = criTablesOf(text, newest);
  assert.ok(tables);
  const restart = 'systemctl restart containerd';
  const origin = { kind: 'file' } as const;
  const hasTransfer = newest === 3;
  const more = { hostsPaths: [CERTS_D], source: 'test', hasTransfer, restart };
  return { file: FILE, tables, origin, ...more };
}

/** What is said about a file that containerd runs with as it stands. */
function said(text: string, newest: 2 | 3 = 3) {
  return criFindings(settingsOfDump(text), context(text, newest));
}

const OLD = 2;

const fine: Record<string, ReturnType<typeof said>> = {
  '1.x': said(V2 + path(CERTS_D), OLD),
  '1.x, one of several': said(V2 + path(`${CERTS_D}:/etc/docker/certs.d`), OLD),
  '2.x': said(V3 + path(CERTS_D)),
  '2.x with a list, where CRI pulls by itself': said(
    `${V3}${path(`${CERTS_D}:/b`)}[plugins."io.containerd.cri.v1.images"]\nuse_local_image_pull = true\n`,
  ),
  '2.x, whatever the transfer service has': said(V3 + path(CERTS_D) + TRANSFER + path('/a:/b')),
};
for (const [name, findings] of Object.entries(fine)) {
  test(`nothing is to do: ${name}`, () => assert.deepEqual(findings, []));
}

const RESTART = 'systemctl restart containerd';
const wrong: Record<string, { findings: ReturnType<typeof said>; got: RegExp; lines: string[] }> = {
  '1.x without a file': {
    findings: said('', OLD),
    got: /got none/,
    lines: [
      '# write /etc/containerd/config.toml with:',
      'version = 2',
      '[plugins."io.containerd.grpc.v1.cri".registry]',
      `  config_path = "${CERTS_D}"`,
      RESTART,
    ],
  },
  '1.x with an empty path': {
    findings: said(V2 + path(''), OLD),
    got: /got none/,
    lines: [
      '# /etc/containerd/config.toml has this table: set in it',
      '[plugins."io.containerd.grpc.v1.cri".registry]',
      `  config_path = "${CERTS_D}"`,
      RESTART,
    ],
  },
  '2.x with a file of comments': {
    findings: said('# none of ours\n'),
    got: /got none/,
    lines: [
      '# add at the end of /etc/containerd/config.toml:',
      'version = 3',
      '[plugins."io.containerd.cri.v1.images".registry]',
      `  config_path = "${CERTS_D}"`,
      RESTART,
    ],
  },
  '2.x without a file': {
    findings: said(''),
    got: /got none/,
    lines: [
      '# write /etc/containerd/config.toml with:',
      'version = 3',
      '[plugins."io.containerd.cri.v1.images".registry]',
      `  config_path = "${CERTS_D}"`,
      RESTART,
    ],
  },
  '2.1 with a list, which its transfer service takes for one directory': {
    findings: said(V3 + path(`${CERTS_D}:/etc/docker/certs.d`)),
    got: /to be one directory, got '\/etc\/containerd\/certs\.d:\/etc/,
    lines: [
      '# have CRI pull by itself, which knows lists:',
      '# add at the end of /etc/containerd/config.toml:',
      '[plugins."io.containerd.cri.v1.images"]',
      '  use_local_image_pull = true',
      '# or:',
      '# have it read one directory:',
      '# /etc/containerd/config.toml has this table: set in it',
      '[plugins."io.containerd.cri.v1.images".registry]',
      `  config_path = "${CERTS_D}"`,
      '# then:',
      RESTART,
    ],
  },
  'another directory': {
    findings: said(V2 + path('/etc/docker/certs.d'), OLD),
    got: /got '\/etc\/docker\/certs\.d'/,
    lines: [
      '# have Spegel write there; in /etc/spegel/spegel.env:',
      'CONTAINERD_REGISTRY_CONFIG_PATH=/etc/docker/certs.d',
      '# then:',
      'spegel install && systemctl restart spegel spegel-configuration',
      '# or have containerd read another directory; it reads no hosts.toml below /etc/docker/certs.d any more then:',
      '# /etc/containerd/config.toml has this table: set in it',
      '[plugins."io.containerd.grpc.v1.cri".registry]',
      `  config_path = "${CERTS_D}"`,
      RESTART,
    ],
  },
};
for (const [name, { findings, got, lines }] of Object.entries(wrong)) {
  test(`config_path: ${name}`, () => {
    assert.deepEqual(
      findings.map(({ kind, about }) => [kind, about]),
      [['advice', 'config_path']],
    );
    assert.match(findings[0]?.message ?? '', got);
    assert.deepEqual(findings[0]?.lines, lines);
  });
}

test('a version 2 file of a 2.1 gets its lines where that version has them', () => {
  const { tables } = context(V2, 3);
  assert.equal(tables.registry.name, 'plugins."io.containerd.grpc.v1.cri".registry');
  assert.deepEqual([tables.registry.isThere, tables.unpacking.isThere], [true, false]);
});

test('a table that only stands around others is not there, however the header is written', () => {
  const around = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."a.b"]\n';
  assert.equal(context(around, 2).tables.registry.isThere, false);
  const empty = `${around}[ plugins . 'io.containerd.grpc.v1.cri'."registry" ] # empty\n`;
  assert.equal(context(empty, 2).tables.registry.isThere, true);
  const dotted = 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nregistry.config_path = ""\n';
  assert.equal(context(dotted, 2).tables.registry.isThere, true);
});

test('a file without version is of the oldest format, and no TOML is told', () => {
  assert.equal(context('root = "/x"', 2).tables.registry.name, 'plugins.cri.registry');
  assert.equal(criTablesOf('= nonsense', 2), undefined);
});

test('layers that are thrown away are told', () => {
  const v2 =
    'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd]\ndiscard_unpacked_layers = true\n';
  const v3 =
    'version = 3\n[plugins."io.containerd.cri.v1.images"]\ndiscard_unpacked_layers = true\n';
  for (const findings of [said(v2, OLD), said(v3)]) {
    const found = findings.find(({ about }) => about === 'discard_unpacked_layers');
    assert.ok(found?.lines.includes('  discard_unpacked_layers = false'));
  }
});

const MIRRORS = `${V2}[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
endpoint = ["https://harbor.corp/v2/hub", "http://10.0.0.9:5000"]
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."*"]
endpoint = ["https://all.corp"]
[plugins."io.containerd.grpc.v1.cri".registry.configs."harbor.corp".tls]
ca_file = "/etc/h.crt"
cert_file = "/etc/h.cert"
key_file = "/etc/h.key"
[plugins."io.containerd.grpc.v1.cri".registry.configs."alone.corp".tls]
insecure_skip_verify = true
[plugins."io.containerd.grpc.v1.cri".registry.configs."secret.corp".auth]
username = "u"
`;

test('old mirrors are migrated, and config_path comes only in the edit that deletes them', () => {
  const [finding, ...rest] = said(MIRRORS, OLD);
  assert.deepEqual([finding?.about, rest], ['registry.mirrors', []]);
  const expected = `# 1. write what they say as files:
# /etc/containerd/certs.d/docker.io/hosts.toml
server = "https://registry-1.docker.io"

[host."https://harbor.corp/v2/hub"]
  capabilities = ["pull", "resolve"]
  override_path = true
  ca = "/etc/h.crt"
  client = [["/etc/h.cert", "/etc/h.key"]]

[host."http://10.0.0.9:5000"]
  capabilities = ["pull", "resolve"]

# /etc/containerd/certs.d/_default/hosts.toml
[host."https://all.corp"]
  capabilities = ["pull", "resolve"]

# /etc/containerd/certs.d/alone.corp/hosts.toml
server = "https://alone.corp"
skip_verify = true

[host."https://alone.corp"]
  capabilities = ["pull", "resolve"]
  skip_verify = true

# 2. in one edit of /etc/containerd/config.toml, delete [plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"], [plugins."io.containerd.grpc.v1.cri".registry.mirrors."*"], [plugins."io.containerd.grpc.v1.cri".registry.configs."harbor.corp".tls], [plugins."io.containerd.grpc.v1.cri".registry.configs."alone.corp".tls]
#    and set config_path:
# /etc/containerd/config.toml has this table: set in it
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
# 3. then:
systemctl restart containerd
systemctl restart spegel-configuration`;
  assert.equal(finding?.lines.join('\n'), expected);
});

test('what CRI tells of a 1.x says the same as its file', () => {
  const tls = (rest: object) => ({ tls: { insecure_skip_verify: false, ...rest }, auth: null });
  const status = {
    containerd: { discardUnpackedLayers: false },
    registry: {
      configPath: '',
      mirrors: {
        'docker.io': { endpoint: ['https://harbor.corp/v2/hub', 'http://10.0.0.9:5000'] },
        '*': { endpoint: ['https://all.corp'] },
      },
      configs: {
        'harbor.corp': tls({
          caFile: '/etc/h.crt',
          certFile: '/etc/h.cert',
          keyFile: '/etc/h.key',
        }),
        'alone.corp': tls({ insecure_skip_verify: true, caFile: '', certFile: '', keyFile: '' }),
        'secret.corp': { tls: null, auth: { username: 'u' } },
      },
    },
  };
  assert.deepEqual(settingsOfStatus(JSON.stringify(status)), settingsOfDump(MIRRORS));
});

test('a password beside config_path is no conflict', () => {
  const auth =
    '[plugins."io.containerd.grpc.v1.cri".registry.configs."s.corp".auth]\nusername = "u"\n';
  assert.deepEqual(said(V2 + path(CERTS_D) + auth, OLD), []);
});

test('2.x tells CRI nothing of registries', () => {
  assert.equal(settingsOfStatus('{"containerd":{}}'), undefined);
});

test('versions and the file of a running containerd', () => {
  const versions = ['1.6.20~ds1', 'v1.6.0', '2.1.9+unknown', '1.5.18', '1.10.0'];
  assert.deepEqual(
    versions.map((v) => isAtLeast(v, [1, 6])),
    [true, true, true, false, true],
  );
  const lines = [['--config', '/a'], ['--config=/a'], ['-c', '/a'], ['-l', 'debug'], []];
  const standard = '/etc/containerd/config.toml';
  assert.deepEqual(lines.map(configFileOf), ['/a', '/a', '/a', standard, standard]);
});

const LIST = `${CERTS_D}:/etc/docker/certs.d`;

test('a list of containerd that Spegel is not told of', () => {
  const about = (configPath: string, hostsPaths: readonly string[]) =>
    configPathListFindings({ ...settingsOfDump(V3), configPath }, hostsPaths, 'test').map(
      (finding) => [finding.about, finding.lines?.[0]],
    );
  const told = `CONTAINERD_REGISTRY_CONFIG_PATH=${LIST}`;
  assert.deepEqual(about(LIST, [CERTS_D]), [['hosts-paths', told]]);
  assert.deepEqual(about(LIST, LIST.split(':')), []);
  assert.deepEqual(about(CERTS_D, [CERTS_D]), []);
});

test('the list that a new installation takes over', () => {
  const taken = (configPath: string) => listToTake({ configPath }, [CERTS_D]);
  assert.deepEqual(taken(LIST), LIST.split(':'));
  for (const other of [CERTS_D, '', '/a:/b', `${CERTS_D}:relative`, `${CERTS_D}:${CERTS_D}`]) {
    assert.equal(taken(other), undefined, other);
  }
});
