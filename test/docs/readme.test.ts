/** The README says what the program does: its table of options is the one that the program has. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { REGISTRY_OPTIONS } from '../../cmd/options.ts';

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');

test('the README lists every option with its default and its environment variable', () => {
  const rows = Object.values(REGISTRY_OPTIONS).map(({ flag, env, fallback, help }) => {
    const value = fallback === undefined || fallback === '' ? '' : `\`${fallback}\``;
    return `| \`${flag}\` | ${value} | \`${env}\` | ${help.replaceAll('|', '\\|')} |`;
  });
  const missing = rows.filter((row) => !readme.includes(`${row}\n`));
  assert.deepEqual(missing, []);
  const listed = readme.match(/^\| `--[a-z-]+` \|/gm) ?? [];
  assert.equal(listed.length, rows.length, 'an option in the README that the program has not');
});

test('the README names the two commands', () => {
  for (const command of ['make demo', 'make test']) assert.ok(readme.includes(command));
});
