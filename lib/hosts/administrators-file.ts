import { sumOf } from './toml/block.ts';
import { withoutBlocks } from './toml/edit.ts';
import { LeftAlone, meaningOf } from './toml/semantics.ts';
import type { JournalFile } from './transaction/journal.ts';
import type { FoundFile } from './transaction/read-file.ts';

/** A hosts.toml as it would be without us. */
export interface AdministratorsFile {
  /** Undefined: there would be none. */
  readonly file: FoundFile | undefined;
  /** What we set aside and cannot put back, since somebody wrote into the file that replaced it. */
  readonly displaced: FoundFile | undefined;
  /** True where we made the file, and the administrator's text in it stands beside our block. */
  readonly isOurs: boolean;
}

/**
 * The administrator's part of a hosts.toml: its text without our block, and the mode that the file
 * had without us. `kept` is the copy of the administrator's file in the work directory. Throws
 * LeftAlone where our text and the administrator's cannot be told apart.
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
  // A file without our block was put there by somebody else, and its mode with it.
  const isOurMode = hasBlock && entry?.modes.includes(found.mode);
  const mode = (isOurMode ? entry?.hadMode : undefined) ?? found.mode;
  // A killed run may leave the copy and the unchanged file: then the file is still the
  // administrator's.
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
    // Without TOML the meaning is unknown: half of our block may be what broke it.
    return text.includes(url);
  }
}
