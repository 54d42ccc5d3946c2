import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import { after, test } from 'node:test';
import { MAX_LINES } from '../scripts/lint-rules.ts';
import { type Import, importsOf, withoutComments } from '../scripts/source-text.ts';
import { bad, good } from './support/import-cases.ts';
import { circlesBelow, filesBelow } from './support/imports.ts';

/**
 * The arrows of docs/design/house.md: which rooms a room may import from, types included. A room
 * that only lends its types is written `type:<room>`. A room below another (`hosts/toml`) is a room
 * of its own.
 */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  base: [],
  oci: ['base'],
  proxy: ['base'],
  http: ['base'],
  'cleanup-wait': ['base'],
  'network-key': ['base'],
  metrics: ['base'],
  store: ['oci', 'base'],
  'containerd/ingest': ['store', 'oci', 'base'],
  containerd: ['containerd/ingest', 'store', 'proxy', 'oci', 'base'],
  'hosts/toml': ['oci', 'base'],
  'hosts/transaction': ['hosts/toml', 'base'],
  'hosts/go-spegel': ['hosts/transaction', 'base'],
  hosts: ['hosts/go-spegel', 'hosts/transaction', 'hosts/toml', 'oci', 'base'],
  port: ['base'],
  'settings-watch': ['base'],
  bootstrap: ['http', 'base'],
  peers: ['base', 'type:http'],
  routing: ['oci', 'base'],
  'routing/transport': ['routing', 'base'],
  'routing/dht': ['routing', 'peers', 'base'],
  'routing/membership': [
    'routing/dht',
    'routing/transport',
    'routing',
    'peers',
    'type:bootstrap',
    'base',
  ],
  'routing/libp2p': [
    'routing/membership',
    'routing/dht',
    'routing/transport',
    'routing',
    'peers',
    'type:bootstrap',
    'network-key',
    'oci',
    'base',
  ],
  tracker: ['routing', 'store', 'oci', 'base'],
  upstream: ['hosts', 'hosts/toml', 'proxy', 'oci', 'base'],
  mirror: ['peers', 'routing', 'tracker', 'network-key', 'oci', 'http', 'base'],
  advertise: ['store', 'routing', 'oci', 'base'],
  registry: ['mirror', 'type:upstream', 'store', 'network-key', 'oci', 'http', 'base'],
  debug: ['store', 'peers', 'routing', 'http', 'base'],
  systemd: ['base'],
  'install/system': [
    'containerd',
    'hosts',
    'hosts/toml',
    'hosts/transaction',
    'port',
    'proxy',
    'systemd',
    'base',
  ],
  'install/containerd': ['install/system', 'containerd', 'port', 'proxy', 'base'],
  'install/settings': [
    'install/system',
    'containerd',
    'hosts',
    'network-key',
    'proxy',
    'systemd',
    'base',
  ],
  'install/checks': [
    'install/settings',
    'install/system',
    'containerd',
    'hosts',
    'hosts/go-spegel',
    'hosts/transaction',
    'port',
    'proxy',
    'base',
  ],
  install: [
    'install/checks',
    'install/settings',
    'install/containerd',
    'install/system',
    'hosts',
    'hosts/transaction',
    'proxy',
    'base',
  ],
  daemon: ['*'],
  'cmd/options': ['type:daemon', 'type:hosts', 'oci', 'systemd', 'base'],
  'cmd/process': ['cmd/options', 'type:daemon', 'systemd', 'http', 'cleanup-wait', 'base'],
  'cmd/settings': [
    'cmd/options',
    'cmd/process',
    'type:daemon',
    'hosts',
    'port',
    'install/settings',
    'install/system',
    'proxy',
    'base',
  ],
  'cmd/report': [
    'cmd/options',
    'cmd/process',
    'type:hosts',
    'hosts',
    'http',
    'type:install',
    'type:install/checks',
    'type:install/settings',
    'install/system',
    'cleanup-wait',
    'systemd',
    'base',
  ],
  'cmd/installed': [
    'cmd/report',
    'cmd/settings',
    'cmd/options',
    'cmd/process',
    'daemon',
    'hosts',
    'type:install',
    'install/containerd',
    'type:install/checks',
    'install/settings',
    'install/system',
    'network-key',
    'proxy',
    'systemd',
    'base',
  ],
  cmd: [
    'cmd/installed',
    'cmd/report',
    'cmd/settings',
    'cmd/process',
    'cmd/options',
    'daemon',
    'hosts',
    'port',
    'install',
    'install/containerd',
    'install/checks',
    'install/settings',
    'install/system',
    'systemd',
    'cleanup-wait',
    'proxy',
    'network-key',
    'http',
    'base',
  ],
};

/** What of the process belongs to cmd/ alone, however it is reached. */
const PROCESS_STATE = [
  /\bprocess\s*(?:\?\.|\.)\s*(?:exit|exitCode|env|argv)\b/,
  /\bprocess\s*(?:\?\.)?\[/,
  /\}\s*=\s*process\b/,
  /\bimport\s*\{[^}]*\b(?:exit|env|argv)\b[^}]*\}\s*from\s*['"](?:node:)?process['"]/,
];

/** Room of a path relative to the root; undefined outside of the house. */
function roomOf(path: string): string | undefined {
  if (/^lib\/daemon(?:-settings|-parts)?\.ts$/.test(path)) return 'daemon';
  const [, below, command] = /^(?:lib\/(.+)|(cmd(?:\/.+)?))\/[^/]+$/.exec(path) ?? [];
  const folder = below ?? command;
  if (folder === undefined || folder in ALLOWED) return folder;
  // A folder that has no line of its own belongs to the room around it.
  return folder.split('/')[0];
}

/** What is wrong with an import, or undefined. Packages and Node's own modules are free. */
function problemOf(from: string, path: string, found: Import): string | undefined {
  const { target, isType } = found;
  if (target === undefined) return 'imports a module whose name is computed';
  if (/^(?:\/|file:|data:|#)/.test(target)) return `imports ${target}: write a relative path`;
  if (!target.startsWith('.')) return undefined;
  const to = posix.join(posix.dirname(path), target);
  const room = roomOf(to);
  if (room === undefined) return `imports ${to}, which is in no room`;
  const allowed = ALLOWED[from] ?? [];
  if (room === from || allowed.includes(room)) return undefined;
  if (allowed.includes('*') && !/^cmd(?:\/|$)/.test(room)) return undefined;
  if (isType && allowed.includes(`type:${room}`)) return undefined;
  return `imports ${to}: ${from} may import ${allowed.join(', ') || 'nothing of ours'}`;
}

function problemsOfFile(root: string, path: string): string[] {
  const source = readFileSync(join(root, path), 'utf8');
  const code = withoutComments(source);
  const room = roomOf(path);
  if (room === undefined || !(room in ALLOWED))
    return [`${path}: is in no room of docs/design/house.md`];
  const imports = importsOf(code).map((found) => problemOf(room, path, found));
  const lines = source.trimEnd().split('\n').length;
  return [
    ...imports,
    lines > MAX_LINES ? `has ${lines} lines, more than ${MAX_LINES}` : undefined,
    !/^cmd(?:\/|$)/.test(room) && PROCESS_STATE.some((pattern) => pattern.test(code))
      ? "touches the process's exit, environment or arguments, which belong to cmd/"
      : undefined,
  ].flatMap((problem) => (problem === undefined ? [] : [`${path}: ${problem}`]));
}

function problemsBelow(root: string): string[] {
  const files = filesBelow(root);
  if (files.length === 0) return [`no files below ${root}`];
  return files.flatMap((path) => problemsOfFile(root, path));
}

const root = join(import.meta.dirname, '..');
for (const room of [...Object.keys(ALLOWED)]) {
  test(`the arrows of docs/design/house.md hold: ${room}`, () => {
    const problems = problemsBelow(root).filter((problem) => {
      const [path = ''] = problem.split(': ');
      return roomOf(path) === room;
    });
    assert.deepEqual(problems, []);
  });
}

test('every file has a room', () => {
  const homeless = problemsBelow(root).filter((problem) => / in no room /.test(problem));
  assert.deepEqual(homeless, []);
});

test('no files import each other in a circle', () => {
  assert.deepEqual(circlesBelow(root), []);
});

const scratch = mkdtempSync(join(tmpdir(), 'spegel-imports-'));
after(() => rmSync(scratch, { recursive: true }));

/** Problems of one file, alone in a house of its own. */
function problemsOf(path: string, source: string): string[] {
  const house = mkdtempSync(join(scratch, 'house-'));
  mkdirSync(join(house, dirname(path)), { recursive: true });
  writeFileSync(join(house, path), source);
  return problemsBelow(house);
}

for (const [name, [path, source]] of Object.entries(bad)) {
  test(`is noticed: ${name}`, () => {
    const problems = problemsOf(path, source);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.ok(problems[0]?.startsWith(`${path}: `));
  });
}

for (const [name, [path, source]] of Object.entries(good)) {
  test(`is fine: ${name}`, () => assert.deepEqual(problemsOf(path, source), []));
}
