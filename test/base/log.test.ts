/**
 * What others say gets into lines of the log: it must neither break them nor speak to a terminal.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../lib/base/log.ts';

function lineOf(fields: Record<string, unknown>): string {
  const lines: string[] = [];
  createLogger('INFO', (line) => lines.push(line)).info('said', fields);
  assert.equal(lines.length, 1);
  return lines[0] ?? '';
}

test('control characters, line ends and directions are escaped, and come back by JSON', () => {
  const said = 'a\u0000\u001b[31m\n\r\t\u007f\u0080\u009b31m\u0085\u2028\u2029\u202e\u2066é漢';
  for (const fields of [{ said }, { error: new Error(said) }, { list: [{ deep: said }] }]) {
    const line = lineOf(fields);
    assert.equal(line.indexOf('\n'), line.length - 1);
    const isControl = (character: string) => /[\p{Cc}\p{Zl}\p{Zp}\p{Cf}]/u.test(character);
    assert.deepEqual([...line.slice(0, -1)].filter(isControl), []);
    assert.ok(line.includes('é漢'));
    assert.ok(JSON.stringify(JSON.parse(line)).includes('é漢'));
  }
  assert.equal(JSON.parse(lineOf({ said })).said, said);
});

test('a long text is cut', () => {
  const line = lineOf({ error: new Error('x'.repeat(1_000_000)), said: 'y'.repeat(1_000_000) });
  assert.ok(line.length < 5_000, `${line.length} characters`);
  assert.match(line, /x…"/);
});
