import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePattern, splitPatterns } from '../../../cmd/options/patterns.ts';

test('RE2 patterns mean what they mean in Go', () => {
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

test('the rest of RE2 means what it means in Go', () => {
  const cases: [string, string, boolean][] = [
    ['^[[:alpha:]]+$', 'abc', true],
    ['^[[:alpha:]]+$', 'a1', false],
    ['\\Qa.b\\E', 'a.b', true],
    ['\\Qa.b\\E', 'axb', false],
    ['^\\pL', 'é', true],
    ['\\x{41}', 'A', true],
    ['a(?i)b', 'aB', true],
    ['a(?i)b', 'AB', false],
    ['^a]$', 'a]', true],
    ['^x{,2}$', 'x{,2}', true],
    ['^(?:a\\z|b)', 'b', true],
    ['^.$', '\n', false],
    ['^\\s$', '\v', false],
    ['^\\w$', 'é', false],
    ['a$', 'a\n', false],
  ];
  for (const [pattern, text, expected] of cases) {
    assert.equal(parsePattern(pattern).test(text), expected, pattern);
  }
});

test('what Go refuses is refused, in its words', () => {
  const refused = [
    '\\C',
    '(',
    'a**',
    '*',
    'x(?=a)',
    '(?<!a)b',
    '(a)\\1',
    'x{1001}',
    '(a{1000}){1000}',
  ];
  for (const pattern of refused) {
    assert.throws(
      () => parsePattern(pattern),
      { code: 'ERR_OPTION_VALUE', message: /error parsing regexp: / },
      pattern,
    );
  }
});

test('a name that a stranger makes up takes no more time than another', () => {
  // 2^250 steps on an engine that goes back.
  assert.equal(parsePattern('^(a+)+$').test(`${'a'.repeat(250)}b`), false);
  assert.equal(parsePattern('(x+x+)+y').test('x'.repeat(250)), false);
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
