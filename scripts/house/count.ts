import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface Counts {
  /** By room: a folder of lib/, `lib` itself, or cmd. */
  readonly rooms: ReadonlyMap<string, RoomCounts>;
  readonly lines: number;
  readonly longest: { readonly name: string; readonly file: string; readonly lines: number };
}

export interface RoomCounts {
  files: number;
  lines: number;
  exports: number;
  /** Named constants, and those of them that are times. */
  constants: number;
  times: number;
}

const EXPORT =
  /^export (?:abstract )?(?:async )?(?:class|interface|type|function\*?|const|enum) /gm;
const CONSTANT = /^(?:export )?const ([A-Z][A-Z0-9_]*)\b/gm;
const TIME = /_(?:MS|SECONDS|MINUTES|HOURS)$|^(?:MS|SECONDS|TTL)/;

/** Counts the sources of lib/ and cmd/ below a tree. */
export function countsOf(root: string): Counts {
  const rooms = new Map<string, RoomCounts>();
  let longest = { name: '', file: '', lines: 0 };
  let all = 0;
  for (const file of globSync('{lib,cmd}/**/*.ts', { cwd: root }).sort()) {
    const text = readFileSync(join(root, file), 'utf8');
    const lines = text.trimEnd().split('\n').length;
    const room = dirname(file);
    const counts = rooms.get(room) ?? { files: 0, lines: 0, exports: 0, constants: 0, times: 0 };
    const isConstants = file.endsWith('/constants.ts');
    const constants = [...text.matchAll(CONSTANT)].map(([, name = '']) => name);
    counts.files += 1;
    counts.lines += lines;
    // The numbers of a room are counted as constants, whether its files share them or not.
    counts.exports += isConstants ? 0 : [...text.matchAll(EXPORT)].length;
    counts.constants += constants.length;
    counts.times += constants.filter((name) => TIME.test(name)).length;
    rooms.set(room, counts);
    all += lines;
    for (const found of functionsOf(text)) {
      if (found.lines > longest.lines) longest = { ...found, file };
    }
  }
  return { rooms, lines: all, longest };
}

/**
 * The functions and methods of a formatted source: from a line that opens one to the first line
 * that closes at the same indent.
 */
function functionsOf(text: string): { name: string; lines: number }[] {
  const lines = text.split('\n');
  const opens =
    /^(\s*)(?:(?:export|static|async|private|readonly|override|get|set) )*(?:function\*? )?\*?(#?\w+)(?:<[^>]*>)?\(/;
  return lines.flatMap((line, index) => {
    const [, indent = '', name = ''] = opens.exec(line) ?? [];
    const isCall = /^(?:if|for|while|switch|catch|return|await|super|test)$/.test(name);
    const isFunction = /\bfunction\b/.test(line) || (indent.length === 2 && !/;\s*$/.test(line));
    if (name === '' || isCall || !isFunction) return [];
    const end = lines.findIndex(
      (other, at) => at > index && [`${indent}}`, `${indent}},`].includes(other),
    );
    return end === -1 ? [] : [{ name, lines: end - index + 1 }];
  });
}
