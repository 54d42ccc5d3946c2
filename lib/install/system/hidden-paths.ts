import { readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

const LINE = /^InaccessiblePaths=(.*)$/gm;
/** The kernel follows this many links (path_resolution(7)). */
const MAX_LINKS = 40;

/**
 * Lines of a drop-in that hide what the unit hides, except directories that hold one of these
 * paths, by name or through links. Undefined: the unit hides none of them. `unit`: its text.
 */
export function unhidingLines(unit: string, paths: readonly string[]): string | undefined {
  const named = [...new Set(paths.flatMap((path) => [path, ...visitedPaths(path)]))];
  const hidden = hiddenPaths(unit);
  const rest = hidden.filter((word) => !holdsOne(word, named));
  if (rest.length === hidden.length) return undefined;
  // An empty value takes back what the unit itself says.
  return ['', ...rest].map((word) => `InaccessiblePaths=${word}`).join('\n');
}

/** The values of InaccessiblePaths=, with a leading `-` where the path need not exist. */
export function hiddenPaths(unit: string): string[] {
  return [...unit.matchAll(LINE)].flatMap(([, words = '']) => words.split(/\s+/).filter(Boolean));
}

function holdsOne(word: string, paths: readonly string[]): boolean {
  const hidden = word.replace(/^-/, '');
  const places = [...new Set([hidden, resolved(hidden)])];
  return paths.some((path) => places.some((place) => `${path}/`.startsWith(`${place}/`)));
}

/**
 * Every path that the kernel visits when it follows the links of a path, the end last. A unit that
 * hides one of them hides the path.
 */
function visitedPaths(path: string, links = 0): string[] {
  const parent = dirname(path);
  if (parent === path) return [];
  const place = join(resolved(parent, links), basename(path));
  const target = links < MAX_LINKS ? targetOf(place) : undefined;
  const further =
    target === undefined ? [] : visitedPaths(resolve(dirname(place), target), links + 1);
  return [...visitedPaths(parent, links), place, ...further];
}

/** Where the links of a path lead. For a path that does not exist yet: where it will be. */
function resolved(path: string, links = 0): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(path);
    if (parent === path) return path;
    const place = join(resolved(parent, links), basename(path));
    const target = targetOf(place);
    if (target === undefined || links >= MAX_LINKS) return place;
    return resolved(resolve(dirname(place), target), links + 1);
  }
}

function targetOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
