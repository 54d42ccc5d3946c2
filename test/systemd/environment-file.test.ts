import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { environmentFile } from '../../cmd/installed/environment-file.ts';
import { CONFIGURATION_OPTIONS } from '../../cmd/options/configuration-options.ts';
import { readOptions } from '../../cmd/options/read-options.ts';
import { REGISTRY_OPTIONS } from '../../cmd/options/registry-options.ts';

const systemd = join(import.meta.dirname, '../../systemd');
const text = readFileSync(join(systemd, 'spegel.env'), 'utf8');

test('spegel.env is what the option tables say', () => {
  assert.equal(text, environmentFile(), 'node scripts/write-environment-file.ts');
});

/** As systemd reads it: one pair of quotes is taken away. */
const uncommented = Object.fromEntries(
  [...text.matchAll(/^#([A-Z_]+)=(?:'([^']*)'|(.*))$/gm)].map(([, name, quoted, plain]) => [
    name,
    quoted ?? plain ?? '',
  ]),
);

/** Empty, it is refused: a variable that was meant to hold a path must not open the network. */
const { NETWORK_KEY_FILE: networkKeyFile, ...defaults } = uncommented;

for (const [name, table] of Object.entries({ REGISTRY_OPTIONS, CONFIGURATION_OPTIONS })) {
  test(`every option has its line, and the lines mean the defaults: ${name}`, () => {
    const variables = Object.values(table).flatMap(({ env }) => env ?? []);
    assert.deepEqual(
      variables.filter((variable) => !(variable in uncommented)),
      [],
    );
    assert.deepEqual(readOptions(table, {}, defaults), readOptions(table, {}, {}));
  });
}

test('no line is in force, and none makes spegel cleanup stay', () => {
  assert.doesNotMatch(text, /^[^#\n]/m);
  assert.ok(!('ADDR' in uncommented));
  assert.equal(networkKeyFile, '');
});
