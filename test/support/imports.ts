import { globSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { importsOf, withoutComments } from '../../scripts/source-text.ts';

/** The source files of lib/ and cmd/, relative to `root`. */
export function filesBelow(root: string): string[] {
  return globSync('{cmd,lib}/**/*.{ts,mts,cts,js,mjs,cjs}', { cwd: root }).sort();
}

/** The files of ours that each file imports: types, and modules that are loaded late, included. */
function importGraph(root: string): ReadonlyMap<string, readonly string[]> {
  const files = filesBelow(root);
  const targetsOf = (path: string) =>
    importsOf(withoutComments(readFileSync(join(root, path), 'utf8')))
      .flatMap(({ target }) => target ?? [])
      .map((target) => posix.join(posix.dirname(path), target))
      .filter((target) => files.includes(target));
  return new Map(files.map((path) => [path, targetsOf(path)]));
}

/**
 * Each circle of files that import each other, as `a -> b -> a`: none of them can be read first.
 */
export function circlesBelow(root: string): string[] {
  const graph = importGraph(root);
  const circles: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, way: readonly string[]) => {
    const start = way.indexOf(path);
    if (start !== -1) circles.push([...way.slice(start), path].join(' -> '));
    if (done.has(path) || start !== -1) return;
    for (const target of graph.get(path) ?? []) walk(target, [...way, path]);
    done.add(path);
  };
  for (const path of graph.keys()) walk(path, []);
  return circles;
}
