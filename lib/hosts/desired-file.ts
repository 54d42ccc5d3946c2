import { findBlocks, type MirrorBlockSettings } from './toml/block.ts';
import { withAdministratorsLines } from './toml/edit.ts';
import type { AdministratorsDirectory, DesiredDirectory } from './transaction/change.ts';
import type { JournalFile } from './transaction/journal.ts';

const PLAIN_MODE = 0o644;
/** Group and others must not read a file that holds credentials. */
const PRIVATE_BITS = 0o700;

export interface FileOptions {
  /** Sum of the administrator's text, where this takes its place. */
  readonly setAside?: string;
  /** Of a file that is copied into a new one, which must not be read by more than that. */
  readonly mode?: number | undefined;
}

/** `own` is the file but for what the administrator wrote into one of ours. */
export function desiredDirectory(
  view: AdministratorsDirectory,
  own: string,
  { authorization, targets }: MirrorBlockSettings,
  { setAside, mode: copiedMode }: FileOptions,
): DesiredDirectory {
  const text = view.isOurs ? withAdministratorsLines(own, view.file?.text ?? '') : own;
  const openMode = view.file?.mode ?? copiedMode ?? PLAIN_MODE;
  const mode = authorization === undefined ? openMode : openMode & PRIVATE_BITS;
  const body = findBlocks(text)?.[0]?.body ?? '';
  const mirrors = targets.filter((url) => body.includes(url));
  const hadMode = view.isOurs ? undefined : view.file?.mode;
  const entry: JournalFile = { body, mirrors, modes: [mode], hadMode, setAside };
  return { exists: true, file: { text, mode, owner: view.file?.owner }, entry };
}
