/**
 * Which registries get the mirror: all, the listed ones, not the excluded ones; `_default` keeps
 * what it gives them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { assertSameTree, directory, file } from '../hosts/tree.ts';
import { cleanUp, configure } from '../support/command.ts';
import {
  A,
  B,
  type PullOracle,
  type Row,
  type Seen,
  startOracles,
  UP,
  VERSIONS,
} from '../support/pull-oracle.ts';

const skip = await labMissing();
const CAPABLE = 'capabilities = ["pull", "resolve"]\n';
const OWN = { 'R/hosts.toml': file(`server = "${UP}"\n[host."${A}"]\n${CAPABLE}`) };

const LISTED: Row = { name: 'listed', files: {} };
const LISTED_LOCAL: Row = { name: 'listed, local', files: {}, isLocal: true };
const LISTED_OWN: Row = { name: 'listed, with a file', files: OWN };
const EXCLUDED: Row = { name: 'excluded', files: {} };
const EXCLUDED_OWN: Row = { name: 'excluded, with a file', files: OWN };
const OTHER: Row = { name: 'another', files: {} };
const OTHER_EMPTY: Row = { name: 'another, with an empty directory', files: { R: directory() } };
const ROWS = [LISTED, LISTED_LOCAL, LISTED_OWN, EXCLUDED, EXCLUDED_OWN, OTHER, OTHER_EMPTY];

/** The administrator's `_default`, and whom it has containerd ask. */
const DEFAULTS = [
  { text: `[host."${B}"]\n${CAPABLE}`, asks: ['B', 'REG'] },
  { text: `# all\nserver = "${UP}"\n\n[host."${B}"]\n${CAPABLE}`, asks: ['B', 'UP'] },
];
const ROUNDS = DEFAULTS.flatMap((_, i) =>
  ['before', 'all', 'listed', 'after'].map((one) => one + i),
);

test("an administrator's _default, listed and excluded registries", { skip }, async (t) => {
  const containerd = VERSIONS.map((version) => ({ version, cri: true }));
  const lab = await Lab.create({ hosts: 3, containerd }, t);
  const oracles = await startOracles(lab, ROWS, ROUNDS);
  for (const [i, { text, asks }] of DEFAULTS.entries()) {
    await Promise.all(oracles.map((oracle) => checkHost(oracle, String(i), text, asks)));
  }
});

async function checkHost(
  oracle: PullOracle,
  suffix: string,
  text: string,
  asks: readonly string[],
): Promise<void> {
  const { hostsDir } = oracle;
  await oracle.plant({ '_default/hosts.toml': file(text) });
  const tree = oracle.tree();
  const before = await oracle.round(`before${suffix}`);
  assert.deepEqual(
    before.pulls,
    seen(asks, () => []),
  );
  const listed = [LISTED, LISTED_LOCAL, LISTED_OWN].map((row) => {
    const scheme = row.isLocal ? '' : 'https://';
    return `--mirrored-registries=${scheme}${oracle.registry(row)}`;
  });
  const excluded = [EXCLUDED, EXCLUDED_OWN].map(
    (row) => `--excluded-registries=${oracle.registry(row)}`,
  );

  await succeed(configure(hostsDir, '--mirrored-registries=*', ...listed, ...excluded));
  const all = await oracle.round(`all${suffix}`);
  const isExcluded = (row: Row) => row === EXCLUDED || row === EXCLUDED_OWN;
  assert.deepEqual(
    all.pulls,
    seen(asks, (row) => (isExcluded(row) ? [] : ['M'])),
  );

  await succeed(configure(hostsDir, ...listed));
  const isListed = (row: Row) => [LISTED, LISTED_LOCAL, LISTED_OWN].includes(row);
  const some = await oracle.round(`listed${suffix}`);
  assert.deepEqual(
    some.pulls,
    seen(asks, (row) => (isListed(row) ? ['M'] : [])),
  );

  await succeed(cleanUp(hostsDir));
  assertSameTree(oracle.tree(), tree, 'after cleanup');
  assert.deepEqual((await oracle.round(`after${suffix}`)).pulls, before.pulls);
}

/** Whom each row's pull asks, behind those in front. */
function seen(
  byDefault: readonly string[],
  front: (row: Row) => readonly string[],
): ReadonlyMap<string, Seen> {
  const others = (row: Row) => {
    if (row === OTHER_EMPTY) return ['REG'];
    return row.files === OWN ? ['A', 'UP'] : byDefault;
  };
  return new Map(
    ROWS.map((row) => {
      const order = [...front(row), ...others(row)];
      return [row.name, { ok: true, tag: order, blob: order, error: '' }];
    }),
  );
}

async function succeed(command: ReturnType<typeof configure>): Promise<void> {
  const { code, stderr } = await command;
  assert.equal(code, 0, stderr);
}
