import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commentLines, problemsOfFile, repeatedNames } from '../../scripts/lint-rules.ts';

const problemsOf = (path: string, text: string, existing: readonly string[] = []) =>
  problemsOfFile({ path, text }, (cited) => existing.includes(cited)).map(({ message }) => message);

const WIDE = `// ${'x'.repeat(98)}`;

const bad: Record<string, [string, string]> = {
  'a comment that is too wide': ['lib/base/a.ts', WIDE],
  'a wide comment behind code': ['test/a.ts', `const a = 1; ${WIDE}`],
  'a wide line within a comment': ['lib/base/a.ts', `/**\n * ${'x'.repeat(98)}\n */`],
  'a long file': ['test/a.ts', 'a();\n'.repeat(301)],
  'a script that imports a test': ['scripts/a.ts', "import { b } from '../test/support/b.ts';"],
  'a host that is a person': ['lib/base/a.ts', '// A host who asks.'],
  'a person in a document': ['docs/a.md', 'A host who has a full disk.'],
  'a former word': ['lib/base/a.ts', '// The lanes of a blob.'],
  'a former word in a name': ['lib/base/a.ts', 'const peerTable = 1;'],
  'a former word in the name of a class': ['lib/base/a.ts', 'class HerdClient {}'],
  'a file that is cited and missing': ['lib/base/a.ts', '// See lib/base/b.ts.'],
  'a document outside': ['lib/base/a.ts', '// Measured (facts/lab.md).'],
};
for (const [name, [path, text]] of Object.entries(bad)) {
  test(`is refused: ${name}`, () => assert.equal(problemsOf(path, text).length, 1));
}

const good: Record<string, [string, string]> = {
  'a comment of 100 columns': ['lib/base/a.ts', `// ${'x'.repeat(97)}`],
  'a wide text': ['lib/base/a.ts', `const a = '// ${'x'.repeat(98)}';`],
  'a long address': ['lib/base/a.ts', `// https://example.org/${'x'.repeat(98)}`],
  'a file of 300 lines': ['test/a.ts', 'a();\n'.repeat(300)],
  'a test that imports the lab': ['test/a.ts', "import { b } from '../lab/b.ts';"],
  'a former word in a quote': ['lib/base/a.ts', '// The flag `--lane`.'],
  'a word that only begins so': ['lib/base/a.ts', '// The wholesaler growls at its planes.'],
  'a file that is cited and there': ['lib/base/a.ts', '// See lib/base/c.ts.'],
  'a thing that owns something': ['docs/a.md', 'A host whose disk is full.'],
  'a person in a test': ['test/a.ts', '// A tester who asks.'],
};
for (const [name, [path, text]] of Object.entries(good)) {
  test(`is accepted: ${name}`, () =>
    assert.deepEqual(problemsOf(path, text, ['lib/base/c.ts']), []));
}

test('a name that two files export is refused, in whatever form', () => {
  const files = [
    { path: 'lib/a.ts', text: 'export class Part {}\nexport const rest = 1;' },
    { path: 'cmd/b.ts', text: 'export type Part = string;\nexport async function other() {}' },
    { path: 'test/c.ts', text: 'export interface Part {}' },
  ];
  const problems = repeatedNames(files);
  assert.deepEqual(problems, [
    { path: 'cmd/b.ts', line: 1, message: 'exports Part, as lib/a.ts does' },
  ]);
});

test('overloads of one function are one name', () => {
  const text = 'export function a(b: string): void;\nexport function a(b: number): void;';
  assert.deepEqual(repeatedNames([{ path: 'lib/a.ts', text }]), []);
});

test('comments are told from texts', () => {
  const source = "const a = '/* no */'; // yes\nconst b = `// no`;\n/*\n * yes\n */";
  assert.deepEqual(
    commentLines(source).map(({ line }) => line),
    [1, 3, 4, 5],
  );
});
