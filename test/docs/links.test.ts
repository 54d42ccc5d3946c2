/** Links between the documents lead somewhere: to a file that is there, and to a heading in it. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const documents = ['README.md', ...globSync('docs/**/*.md', { cwd: root }).sort()];

/** As GitHub names a heading: lower case, what is no word left out, spaces as hyphens. */
function anchorsOf(path: string): string[] {
  const headings = readFileSync(path, 'utf8').match(/^#+ .*$/gm) ?? [];
  return headings.map((heading) =>
    heading
      .replace(/^#+ /, '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function problemOf(document: string, link: string): string | undefined {
  const [file = '', anchor] = link.split('#');
  const path = file === '' ? join(root, document) : join(root, dirname(document), file);
  if (!existsSync(path)) return `${document} links to ${link}: there is no such file`;
  if (anchor === undefined || anchorsOf(path).includes(anchor)) return undefined;
  return `${document} links to ${link}: there is no such heading`;
}

test('links between the documents lead somewhere', () => {
  const links = documents.flatMap((document) => {
    const text = readFileSync(join(root, document), 'utf8');
    const found = [...text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)];
    return found.map(([, link = '']) => ({ document, link }));
  });
  assert.ok(links.length > 10);
  assert.deepEqual(
    links.flatMap(({ document, link }) => problemOf(document, link) ?? []),
    [],
  );
});
