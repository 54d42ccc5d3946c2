/** Writes what stands twice in this repository: systemd/spegel.env, and the units as the executable carries them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { environmentFile } from '../../cmd/environment-file.ts';

const root = join(import.meta.dirname, '../..');
export const UNITS_MODULE = join(root, 'lib/install/units.ts');

/** The text of lib/install/units.ts, out of systemd/. */
export function unitsModule(): string {
  const constant = (name: string, unit: string) => {
    const text = readFileSync(join(root, 'systemd', unit), 'utf8');
    if (/[`\\]|\$\{/.test(text)) throw new Error(`${unit} cannot be written as a plain template`);
    return `export const ${name} = \`\\\n${text}\`;\n`;
  };
  return [
    '/** The units in systemd/, written by test/support/write-embedded.ts: the executable has no files beside it. */\n',
    constant('SERVICE_UNIT', 'spegel.service'),
    constant('CONFIGURATION_UNIT', 'spegel-configuration.service'),
  ].join('\n');
}

if (import.meta.main) {
  writeFileSync(join(root, 'systemd/spegel.env'), environmentFile());
  writeFileSync(UNITS_MODULE, unitsModule());
}
