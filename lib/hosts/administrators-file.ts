import { sumOf } from './toml/block.ts';
import { withoutBlocks } from './toml/edit.ts';
import { LeftAlone, meaningOf } from './toml/semantics.ts';
import type { JournalFile } from './transaction/journal.ts';
import type { FoundFile } from './transaction/read-tree.ts';

/** A hosts.toml as it would be without us. */
export interface AdministratorsFile {
  /** Undefined: there would be none. */
  readonly file: FoundFile | undefined;
  /** What we set aside and cannot put back, since somebody wrote into the file that took its place. */
  readonly displaced: FoundFile | undefined;
  /** True for a file that we made: what is the administrator's in it he wrote beside our block. */
  readonly isOurs: boolean;
}

/**
 * What of a hosts.toml is the administrator's: its text without our block, and the mode he gave it. `kept` is
 * what we keep of his file. Throws LeftAlone where ours and his cannot be told apart.
 */
export function administratorsFile(
  found: FoundFile | undefined,
  entry: JournalFile | undefined,
  kept: FoundFile | undefined,
): AdministratorsFile {
  const isSetAside = kept !== undefined && entry?.setAside === sumOf(kept.text);
  const original = isSetAside ? kept : undefined;
  if (found === undefined) return { file: original, displaced: undefined, isOurs: false };
  const text = withoutBlocks(found.text, entry?.body);
  const hasBlock = text !== found.text;
  const wasMade = entry?.hadMode === undefined;
  if (hasBlock && text === '' && (wasMade || isSetAside))
    return { file: original, displaced: undefined, isOurs: false };
  if (!hasBlock && entry !== undefined) checkUnmarked(found.text, entry.mirrors);
  // A file without our block is one that somebody put in the place of ours, and so is its mode.
  const isOurMode = hasBlock && entry?.modes.includes(found.mode);
  const mode = (isOurMode ? entry?.hadMode : undefined) ?? found.mode;
  // A run that was killed may have left both: then nothing was taken away yet.
  const displaced = original?.text === text ? undefined : original;
  const isOurs = hasBlock && entry !== undefined && wasMade;
  return { file: { ...found, text, mode }, displaced, isOurs };
}

/** Throws LeftAlone when our lines are still there and only the marks around them are gone. */
function checkUnmarked(text: string, mirrors: readonly string[]): void {
  const own = mirrors.find((url) => isHost(url, text));
  if (own === undefined) return;
  throw new LeftAlone(
    `the marks of our block are gone, but [host."${own}"] is still there; take that out by hand`,
  );
}

function isHost(url: string, text: string): boolean {
  try {
    return meaningOf(text).order.includes(url);
  } catch {
    // No TOML, so nobody can say what it means: half of our block may be what broke it.
    return text.includes(url);
  }
}
