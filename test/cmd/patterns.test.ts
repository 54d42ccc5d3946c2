import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePattern, splitPatterns } from '../../cmd/patterns.ts';

test('RE2 patterns mean in JavaScript what they mean in Go', () => {
  const cases: [string, string, boolean][] = [
    [':latest$', 'docker.io/a:latest', true],
    ['(?i)ALPINE', 'docker.io/alpine', true],
    ['ALPINE', 'docker.io/alpine', false],
    ['^docker\\.io\\/private\\-a', 'docker.io/private-a', true],
    ['^docker\\.io/', 'dockerxio/', false],
    ['\\Adocker\\.io\\z', 'docker.io', true],
    ['\\Adocker\\.io\\z', 'docker.io/a', false],
    ['[\\w\\-.]+\\:\\d{1,3}$', 'a-b.c:12', true],
    ['a\\_b\\@c\\"', 'a_b@c"', true],
    ['(?P<name>dev|test)/', 'docker.io/test/a', true],
    ['\\(?P<', 'P<', true],
    ['[^a-z\\]]', 'abc]', false],
    ['(?i:ALP)ine', 'alpine', true],
    ['(?is)a.c', 'A\nC', true],
  ];
  for (const [pattern, text, expected] of cases) {
    assert.equal(parsePattern(pattern).test(text), expected, pattern);
  }
});

test('what JavaScript would quietly take for something else is refused', () => {
  const refused = [
    '[[:alpha:]]',
    '\\Qa.b\\E',
    '\\pL',
    '\\x{41}',
    '(?U)a',
    'a(?i)b',
    '\\a',
    'a]',
    'x{,2}',
    '\\C',
  ];
  for (const pattern of refused) {
    assert.throws(() => parsePattern(pattern), { code: 'ERR_OPTION_VALUE' }, pattern);
  }
});

test('a list of patterns is taken apart between patterns only', () => {
  const cases: [string, string[]][] = [
    ['', []],
    [' , ,', []],
    [':latest$,^ghcr.io/', [':latest$', '^ghcr.io/']],
    ['a b\tc', ['a', 'b', 'c']],
    ['a{1,3},b', ['a{1,3}', 'b']],
    ['[,\\]( ]x,b', ['[,\\]( ]x', 'b']],
    ['[]a,],b', ['[]a,]', 'b']],
    ['(a|b, c),d', ['(a|b, c)', 'd']],
    ['a\\,b,c', ['a\\,b', 'c']],
    ['\\(,\\{,\\[', ['\\(', '\\{', '\\[']],
    ['"a{1,2}","b""c"', ['a{1,2}', 'b"c']],
    ['a"b,c', ['a"b', 'c']],
    ['),b', [')', 'b']],
  ];
  for (const [text, expected] of cases) assert.deepEqual(splitPatterns(text), expected, text);
});
