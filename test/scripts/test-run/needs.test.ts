import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { type Need, needOf } from '../../../scripts/test-run/needs.ts';

const root = mkdtempSync(join(tmpdir(), 'spegel-needs-'));
after(() => rmSync(root, { recursive: true }));

const FILES: Readonly<Record<string, string>> = {
  'lab/executable.ts': 'export const EXECUTABLE = 1;',
  'lab/fleet/lab.ts': "import { EXECUTABLE } from '../executable.ts';",
  'lab/systemd/systemd-host.ts': "import type { Lab } from '../fleet/lab.ts';",
  'test/support/pulls.ts': "import { Lab } from '../../lab/fleet/lab.ts';",
  'test/support/types.ts': "import type { Lab } from '../../lab/fleet/lab.ts';",
};
for (const [path, text] of Object.entries(FILES)) {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const CASES: Readonly<Record<string, readonly [string, Need]>> = {
  'no file of ours': ["import { test } from 'node:test';", 'nothing'],
  'the lab itself': ["import { Lab } from '../lab/fleet/lab.ts';", 'lab'],
  'the lab by way of a helper': ["import { pull } from './support/pulls.ts';", 'lab'],
  'an import over several lines': ["import {\n  pull,\n} from './support/pulls.ts';", 'lab'],
  'an export from': ["export { pull } from './support/pulls.ts';", 'lab'],
  'a type of the lab': ["import type { Lab } from '../lab/fleet/lab.ts';", 'nothing'],
  'a helper that has a type of the lab': ["import { a } from './support/types.ts';", 'nothing'],
  'a booted host beside the lab': [
    "import { Lab } from '../lab/fleet/lab.ts';\nimport { A } from '../lab/systemd/systemd-host.ts';",
    'booted',
  ],
  'the executable': ["import { EXECUTABLE } from '../lab/executable.ts';", 'executable'],
};
for (const [name, [text, need]] of Object.entries(CASES)) {
  test(`a test file that imports ${name} needs: ${need}`, () => {
    writeFileSync(join(root, 'test/a.test.ts'), text);
    assert.equal(needOf(root, 'test/a.test.ts'), need);
  });
}
