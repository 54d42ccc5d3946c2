import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { circlesBelow } from './support/imports.ts';

const scratch = mkdtempSync(join(tmpdir(), 'spegel-circles-'));
after(() => rmSync(scratch, { recursive: true }));

/** A house with these files. */
function houseOf(files: Readonly<Record<string, string>>): string {
  const house = mkdtempSync(join(scratch, 'house-'));
  for (const [path, source] of Object.entries(files)) {
    mkdirSync(join(house, dirname(path)), { recursive: true });
    writeFileSync(join(house, path), source);
  }
  return house;
}

const circles: Record<string, [string, string]> = {
  'of imports': ["import { b } from './b.ts';", "import { a } from './a.ts';"],
  'of types': ["import type { B } from './b.ts';", "import { type A } from './a.ts';"],
  'with a dynamic import': ["const b = await import('./b.ts');", "import { a } from './a.ts';"],
  'with an export from': ["export { b } from './b.ts';", "import { a } from './a.ts';"],
};
for (const [name, [a, b]] of Object.entries(circles)) {
  test(`a circle is noticed: ${name}`, () => {
    const house = houseOf({ 'cmd/a.ts': a, 'cmd/b.ts': b });
    assert.deepEqual(circlesBelow(house), ['cmd/a.ts -> cmd/b.ts -> cmd/a.ts']);
  });
}

test('a file that imports itself is a circle', () => {
  const house = houseOf({ 'cmd/a.ts': "import { a } from './a.ts';" });
  assert.deepEqual(circlesBelow(house), ['cmd/a.ts -> cmd/a.ts']);
});

test('two ways to one file are no circle', () => {
  const house = houseOf({
    'cmd/a.ts': "import { b } from './b.ts';\nconst c = await import('./c.ts');",
    'cmd/b.ts': "import { c } from './c.ts';\n// import './a.ts';",
    'cmd/c.ts': "import 'node:fs';",
  });
  assert.deepEqual(circlesBelow(house), []);
});
