/**
 * Files that administrators have: a pull after `spegel configuration` is never worse than before,
 * nor after `spegel cleanup`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { assertSameTree, directory, file, link, type Tree } from '../hosts/tree.ts';
import { cleanUp, configure } from '../support/command.ts';
import {
  A,
  B,
  type PullOracle,
  type Round,
  type Row,
  startOracles,
  UP,
  VERSIONS,
} from '../support/pull-oracle.ts';

const skip = await labMissing();
const ROUNDS = ['before', 'configured', 'after'];

const S = `server = "${UP}"\n`;
const CAPABLE = 'capabilities = ["pull", "resolve"]\n';
const host = (url: string) => `\n[host."${url}"]\n${CAPABLE}`;
const R = (text: string) => ({ 'R/hosts.toml': file(text) });

/** How a row's file fares; without a word: our block is put in front of what was asked before. */
interface Fate {
  /** Not joined, but named, and everything stays as it is. */
  readonly isLeftAlone?: boolean;
  /** containerd before 2.0 rejects it whole: with our block what it says would come into force. */
  readonly isAsleep?: boolean;
  /** containerd 2 rejects it whole, with and without our block. */
  readonly isDead?: boolean;
}

const ROWS: readonly (Row & Fate)[] = [
  { name: 'no directory', files: {} },
  { name: 'an empty directory', files: { R: directory() } },
  { name: 'an empty file', files: R('') },
  { name: 'comments alone', files: R('# mine\n\n') },
  { name: 'a server alone', files: R(S), isAsleep: true },
  { name: 'a server and a root header', files: R(`${S}[header]\nx-mine = "y"\n`), isAsleep: true },
  { name: 'a server and hosts', files: R(S + host(A) + host(B)) },
  { name: 'hosts without server', files: R(host(A)) },
  { name: 'a root header', files: R(`${S}[header]\nx-mine = "y"\n${host(A)}`) },
  { name: 'a root header at the end', files: R(`${S}${host(A)}[header]\nx-mine = "y"\n`) },
  { name: "a host's header first", files: R(`${S}[host."${A}".header]\nx-mine = "y"\n${host(A)}`) },
  { name: 'TLS options at the root', files: R(`${S}skip_verify = true\n${host(A)}`) },
  { name: 'a host without capabilities', files: R(`${S}[host."${A}"]\n${host(B)}`) },
  { name: 'a host for pushes', files: R(`${S}[host."${A}"]\ncapabilities = ["push"]\n${host(B)}`) },
  { name: 'CRLF', files: R((S + host(A)).replaceAll('\n', '\r\n')) },
  { name: 'no newline at the end', files: R((S + host(A)).trimEnd()) },
  { name: 'server without newline', files: R(S.trimEnd()), isAsleep: true },
  {
    name: 'comments and indents',
    files: R(`# a\n${S}# b\n\n  # c\n\t[ host . '${A}' ]  # d\n ${CAPABLE}#e`),
  },
  { name: 'a string like a table', files: R(`${S}x = """\n[host."${B}"]\n"""\n${host(A)}`) },
  { name: 'an empty [host]', files: R(`${S}[host]\n`) },
  {
    name: 'a mode and an owner',
    files: { 'R/hosts.toml': file(S + host(A), 0o600, 1234, 1234) },
  },
  { name: 'host_port_', files: { 'R_/hosts.toml': file(S + host(A)) } },
  { name: 'both spellings', files: { 'R_/hosts.toml': file(S + host(A)), ...R(S + host(B)) } },
  { name: 'an empty host_port_ hides it', files: { R_: directory(), ...R(S + host(B)) } },
  { name: 'a byte order mark', files: R(`\uFEFF${S}${host(A)}`), isDead: true },
  {
    name: 'inline hosts',
    files: R(`${S}[host]\n"${A}" = { ${CAPABLE.trim()} }\n`),
    isLeftAlone: true,
  },
  { name: 'a dotted host', files: R(`${S}host."${A}".${CAPABLE}`), isLeftAlone: true },
  { name: 'no TOML', files: R('[host\n'), isLeftAlone: true },
  { name: 'a link', files: { 'R/hosts.toml': link('../shared.toml') }, isLeftAlone: true },
  {
    name: 'a link that leads nowhere',
    files: { 'R/hosts.toml': link('nothing') },
    isLeftAlone: true,
  },
  {
    name: 'no UTF-8',
    files: { 'R/hosts.toml': file(Buffer.from(`#\xe4\n${S}${host(A)}`, 'latin1')) },
    isLeftAlone: true,
  },
  { name: 'a linked directory', files: { R: link('shared.example') } },
  {
    name: 'a directory linked from elsewhere',
    files: { R: link('../elsewhere') },
    isLeftAlone: true,
  },
  { name: 'an empty [host] and hosts', files: R(`${S}[host]\n${host(A)}`) },
  { name: '[host] with dotted keys', files: R(`${S}[host]\n"${A}".${CAPABLE}`) },
  {
    name: 'an array over lines',
    files: R(`${S}[host."${A}"]\ncapabilities = [\n "pull", # [host."x"]\n "resolve",\n]\n`),
  },
  { name: 'another table in front', files: R(`${S}[mine]\nx = 1\n${host(A)}`) },
  { name: 'local', files: {}, isLocal: true },
  { name: 'local, an empty directory', files: { R: directory() }, isLocal: true },
  { name: 'local, a server', files: R(`server = "http://$REG"\n${host(A)}`), isLocal: true },
];

test('every registry: the mirror first, then all that was asked before; after cleanup as before', {
  skip,
}, async (t) => {
  const lab = await Lab.create(
    { hosts: 3, containerd: VERSIONS.map((version) => ({ version, cri: true })) },
    t,
  );
  const oracles = await startOracles(lab, ROWS, ROUNDS);
  await Promise.all(oracles.map(checkHost));
});

async function checkHost(oracle: PullOracle): Promise<void> {
  await oracle.plant({
    'shared.toml': file(S + host(A)),
    'shared.example/hosts.toml': file(S + host(A)),
    '../elsewhere/hosts.toml': file(S + host(A)),
    'notes.txt': file('not a registry'),
  });
  const tree = oracle.tree();
  const before = await oracle.round('before');

  const { containerd } = oracle.host;
  const isOld = containerd.version.startsWith('1.');
  const outcome = await configure(
    oracle.hostsDir,
    '--json',
    `--containerd-sock=${containerd.socket}`,
  );
  const { problems } = JSON.parse(outcome.stdout) as { problems: { path: string }[] };
  const alone = ROWS.filter(({ isLeftAlone, isAsleep }) => isLeftAlone || (isAsleep && isOld));
  assert.deepEqual(
    problems.map(({ path }) => path).sort(),
    alone.map((row) => oracle.file(row)).sort(),
  );
  assert.equal(outcome.code, 1);
  assertSameRights(tree, oracle.tree());
  const configured = await oracle.round('configured');

  assert.equal((await cleanUp(oracle.hostsDir)).code, 0);
  assertSameTree(oracle.tree(), tree, 'after cleanup');
  const after = await oracle.round('after');
  compare(oracle, { before, configured, after });
}

/** Fails unless everything that was there is there, of the same kind, mode and owner. */
function assertSameRights(before: Tree, now: Tree): void {
  const rights = (tree: Tree) =>
    Object.keys(before).map((path) => [path, { ...tree[path], data: undefined }]);
  assert.deepEqual(rights(now), rights(before));
}

function compare(
  { host: { containerd } }: PullOracle,
  { before, configured, after }: Readonly<Record<'before' | 'configured' | 'after', Round>>,
): void {
  const isOld = containerd.version.startsWith('1.');
  for (const [name, { ok, error }] of before.pulls) assert.ok(ok, `${name}: ${error}`);
  const expected = ROWS.map(({ name, isLeftAlone, isDead, isAsleep }) => {
    const was = before.pulls.get(name);
    const isAsBefore = isLeftAlone || (isDead && !isOld) || (isAsleep && isOld);
    if (was === undefined || isAsBefore) return [name, was];
    return [name, { ...was, tag: ['M', ...was.tag], blob: ['M', ...was.blob] }];
  });
  assert.deepEqual(Object.fromEntries(configured.pulls), Object.fromEntries(expected));
  assert.deepEqual(after.pulls, before.pulls);
  const toMirror = configured.requests.filter(({ by }) => by === 'M');
  assert.ok(
    toMirror.every(({ method }) => method !== 'TLS'),
    'the mirror speaks no TLS',
  );
  assert.ok(
    toMirror.every(({ headers }) => headers['x-mine'] === undefined),
    "others' headers",
  );
  assert.deepEqual(
    after.requests.filter(({ by }) => by === 'M'),
    [],
  );
  assert.ok(configured.undecoded <= before.undecoded, 'no file is rejected that was read before');
  assert.ok(containerd.service.running);
}
