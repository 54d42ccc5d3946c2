/** The README describes the program: its tables of options are the ones that the program has. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CLEANUP_WAIT_OPTIONS } from '../../cmd/cleanup-wait.ts';
import { CLEANUP_OPTIONS, CONFIGURATION_OPTIONS } from '../../cmd/options/configuration-options.ts';
import { INSTALL_OPTIONS, UNINSTALL_OPTIONS } from '../../cmd/options/install-options.ts';
import { KEY_OPTIONS } from '../../cmd/options/key-options.ts';
import type { Option, OptionTable } from '../../cmd/options/option.ts';
import { REGISTRY_OPTIONS } from '../../cmd/options/registry-options.ts';
import { CONTAINERD_RELEASES } from '../../lab/programs/go-programs.ts';

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');

const tables: Record<string, OptionTable> = {
  registry: REGISTRY_OPTIONS,
  configuration: CONFIGURATION_OPTIONS,
  cleanup: CLEANUP_OPTIONS,
  'cleanup-wait': CLEANUP_WAIT_OPTIONS,
  install: INSTALL_OPTIONS,
  uninstall: UNINSTALL_OPTIONS,
  key: KEY_OPTIONS,
};

function rowOf({ flag, env, fallback, help }: Option<unknown>): string {
  const code = (text: string | undefined) => (text ? `\`${text}\`` : '');
  return `| \`${flag}\` | ${code(fallback)} | ${code(env)} | ${help.replaceAll('|', '\\|')} |`;
}

for (const [command, table] of Object.entries(tables)) {
  test(`the README lists the options of ${command} with default and environment variable`, () => {
    const [, section = ''] = readme.split(`\n## Options of \`spegel ${command}\`\n`);
    const [text = ''] = section.split('\n## ');
    const listed = text.match(/^\| `--.*$/gm) ?? [];
    assert.deepEqual(listed, Object.values(table).map(rowOf));
  });
}

test('the README names the releases of containerd that are built for the tests', () => {
  const named = new Set(readme.match(/\b\d\.\d+\.\d+\b/g));
  for (const release of Object.values(CONTAINERD_RELEASES)) assert.ok(named.has(release), release);
});

test('the README names the two commands', () => {
  for (const command of ['make demo', 'make test']) assert.ok(readme.includes(command));
});
