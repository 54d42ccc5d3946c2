import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printInstallReport } from '../../../cmd/report/install-report.ts';
import { advice, note, obstacle } from '../../../lib/install/system/finding.ts';

const FINDINGS = [
  obstacle('a', 'port'),
  advice('b', 'path', ['spegel install']),
  note('c', 'open'),
];

function printed(isCheck: boolean, findings = FINDINGS) {
  const output = { stdout: '', stderr: '' };
  const version = { kind: 'same', from: '1', to: '1' } as const;
  const done = { changes: [], settings: [], version, service: undefined, program: 'spegel' };
  const form = { json: false, isCheck, port: 5000 };
  printInstallReport({ findings, ...done }, form, {
    stdout: (text) => {
      output.stdout += text;
    },
    stderr: (text) => {
      output.stderr += text;
    },
  });
  return output;
}

test('each kind of finding has a word of its own, and what is counted as to do says so', () => {
  assert.deepEqual(printed(true), {
    stdout: '2 things are to do, see above\n',
    stderr:
      'spegel: in the way: port\nspegel: to do: path\n    spegel install\nspegel: note: open\n',
  });
  assert.match(printed(false).stderr, /^spegel: cannot install: port\nspegel: to do: path\n/);
  const [, ...rest] = FINDINGS;
  assert.equal(printed(false, rest).stdout, 'in place; see above what is left to do\n');
});
