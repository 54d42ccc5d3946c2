import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { blockRemovalLines, targetFindings } from '../../../lib/install/checks/mirror-check.ts';

const listener = (host: string, port: number) => ({ option: 'REGISTRY_ADDR', host, port });

test('a target that can be the registry of this host is fine', () => {
  for (const [target, host, port] of [
    ['http://127.0.0.1:5000', '', 5000],
    ['http://127.0.0.1', '', 80],
    ['http://localhost:5555', '127.0.0.1', 5555],
    ['http://10.0.0.7:5000', '10.0.0.7', 5000],
    ['http://[::1]:5000', '', 5000],
    ['http://[fd00::1]:5000', 'fd00::1', 5000],
    ['http://[FD00:0::1]:5000', 'fd00::1', 5000],
    ['http://0.0.0.0:5000', '', 5000],
    ['https://spegel.corp', '', 443],
    ['http://127.0.0.1:5000', '', 0],
  ] as const) {
    assert.deepEqual(targetFindings([target], listener(host, port)), [], target);
  }
});

test('targets of which none is, are told with the one that is', () => {
  for (const [target, host, line] of [
    ['http://127.0.0.1:5000', '', 'MIRROR_TARGETS=http://127.0.0.1:5555'],
    ['http://192.0.2.1:5555', '10.0.0.7', 'MIRROR_TARGETS=http://10.0.0.7:5555'],
    ['http://[2001:db8::1]:5555', '', 'MIRROR_TARGETS=http://127.0.0.1:5555'],
    ['http://127.0.0.1:5000', '::1', 'MIRROR_TARGETS=http://localhost:5555'],
  ] as const) {
    const [finding] = targetFindings([target], listener(host, 5555));
    assert.deepEqual([finding?.kind, finding?.lines[0]], ['advice', line]);
  }
});

test('a block is to be taken out by sed only where both of its marks are there once, in order', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-marks-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'hosts.toml');
  const [begin, end] = ['# >>> spegel 0123456789ab: x', '# <<< spegel'];
  const own = '[host."https://harbor.corp"]';
  for (const [lines, expected] of [
    [[begin, 'a', end, own], [`sed -i '/# >>> spegel/,/# <<< spegel/d' ${path}`]],
    [[begin, 'a', own], [`# by hand, in ${path}: the marks of our block are in line 1`]],
    [['a', end, own], [`# by hand, in ${path}: the marks of our block are in line 2`]],
    [[end, begin, own], [`# by hand, in ${path}: the marks of our block are in line 1, 2`]],
    [
      [begin, end, own, begin, end],
      [`# by hand, in ${path}: the marks of our block are in line 1, 2, 4, 5`],
    ],
    [[own], []],
  ] as const) {
    writeFileSync(path, `${lines.join('\n')}\n`);
    assert.deepEqual(blockRemovalLines(path), expected);
  }
  writeFileSync(path, `${begin}\na\n${end}\n${own}\n`);
  const [sed = ''] = blockRemovalLines(path);
  execFileSync('sh', ['-c', sed]);
  assert.equal(readFileSync(path, 'utf8'), `${own}\n`);
  assert.deepEqual(blockRemovalLines(join(dir, 'none')), []);
});
