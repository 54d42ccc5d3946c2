import { realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const LINE = /^InaccessiblePaths=(.*)$/gm;

/**
 * Lines of a drop-in by which a unit hides the rest of its list: without what holds one of these
 * paths, by their names or through links. Undefined: it hides none of them. `unit`: its text.
 */
export function linesThatShow(unit: string, paths: readonly string[]): string | undefined {
  const named = [...new Set(paths.flatMap((path) => [path, resolved(path)]))];
  const hidden = hiddenPaths(unit);
  const rest = hidden.filter((word) => !holdsOne(word, named));
  if (rest.length === hidden.length) return undefined;
  // An empty value takes back what the unit itself says.
  return ['', ...rest].map((word) => `InaccessiblePaths=${word}`).join('\n');
}

/** As they are written: with `-` in front of one that need not be there. */
export function hiddenPaths(unit: string): string[] {
  return [...unit.matchAll(LINE)].flatMap(([, words = '']) => words.split(/\s+/).filter(Boolean));
}

function holdsOne(word: string, paths: readonly string[]): boolean {
  const hidden = word.replace(/^-/, '');
  const places = [...new Set([hidden, resolved(hidden)])];
  return paths.some((path) => places.some((place) => `${path}/`.startsWith(`${place}/`)));
}

/** Where the links lead; of what is not there yet, where it will be. */
function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(resolved(parent), basename(path));
  }
}
