import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { importsOf, withoutComments } from '../source-text.ts';

/**
 * What a test file needs of the machine. Nobody writes it down: the file's imports tell it, through
 * every file of ours that they lead to.
 *
 * - `booted`: hosts with a real systemd, so root on Debian and what `make lab` fetches.
 * - `lab`: hosts with a real containerd, or a program that is fetched; likewise.
 * - `executable`: `dist/spegel`, or it builds executables itself, as all below test/release/ do.
 * - `nothing`: any user on any machine can run it, beside others.
 */
export type Need = 'booted' | 'lab' | 'executable' | 'nothing';

/** The first that matches a file that is imported counts. */
const SIGNS: readonly (readonly [Need, RegExp])[] = [
  ['booted', /^lab\/systemd\/systemd-host\.ts$/],
  ['lab', /^lab\/(?:fleet\/lab|network\/network|programs\/programs)\.ts$/],
  ['executable', /^(?:lab\/executable\.ts$|test\/release\/)/],
];

/** `file` is relative to `root`. */
export function needOf(root: string, file: string): Need {
  const loaded = [...loadedBy(root, file)];
  const sign = SIGNS.find(([, pattern]) => loaded.some((path) => pattern.test(path)));
  return sign?.[0] ?? 'nothing';
}

/** The file and all of ours that it loads, relative to the root. */
function loadedBy(root: string, file: string): Set<string> {
  const loaded = new Set([file]);
  // A set that grows while it is walked is walked to its new end.
  for (const path of loaded) {
    const full = join(root, path);
    if (!existsSync(full)) continue;
    for (const { target, isType } of importsOf(withoutComments(readFileSync(full, 'utf8')))) {
      // A type loads nothing at run time.
      if (isType || target?.startsWith('.') !== true) continue;
      loaded.add(relative(root, join(dirname(full), target)));
    }
  }
  return loaded;
}
