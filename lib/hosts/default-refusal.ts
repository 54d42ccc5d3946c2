import { dirname, join } from 'node:path';
import { absentDirectory } from './administrators-state.ts';
import type { Fallback } from './fallback.ts';
import { type CertsDState, type HiddenCopy, pathOf, type SearchPath } from './search-path.ts';
import { LeftAlone } from './toml/semantics.ts';
import type { AdministratorsDirectory, DesiredDirectory } from './transaction/change.ts';
import { HOSTS_TOML } from './transaction/read-tree.ts';

/**
 * Why no new directory must be made in front of one that could not be read; undefined: it may be.
 */
export function unreadableRefusal({ unread }: SearchPath): string | undefined {
  if (unread === undefined) return undefined;
  const { path, reason } = unread;
  return `it would hide what may be in ${path}, which cannot be read (${reason}); mend that and run this again`;
}

/**
 * Why there must be no `_default` of ours: it would hide a directory, and the copy of that
 * directory beside it cannot be made. Undefined: there may be one.
 */
export function copiesRefusal(
  { current, administrators }: CertsDState,
  copies: ReadonlyMap<string, HiddenCopy>,
  desiredOf: (directory: AdministratorsDirectory) => DesiredDirectory,
): string | undefined {
  for (const [name, { registry, source }] of copies) {
    const directory = administrators.get(name) ?? absentDirectory(name);
    try {
      if ('message' in directory) throw new LeftAlone(directory.message);
      desiredOf({ ...directory, registry });
    } catch (error) {
      if (!(error instanceof LeftAlone)) throw error;
      const hidden = source === undefined ? `what is made for ${registry}` : pathOf(source);
      const state = join(current.root, name);
      return `it would hide ${hidden} from containerd or nerdctl, and ${state}, which is to say the same, cannot be: ${error.message}`;
    }
  }
  return undefined;
}

/**
 * A directory that only nerdctl reads may give containerd its certificates. Its hosts are refused
 * (LeftAlone): they may have another image.
 */
export function refuseNerdctlOnly(
  { isForeign, isDisputed }: HiddenCopy,
  fallback: Fallback,
): Fallback {
  const { path, hasHosts, root } = fallback;
  if (isDisputed === true) {
    throw new LeftAlone('nerdctl and containerd find two directories for it; remove one of them');
  }
  const isEmpty = !hasHosts && Object.keys(root).length === 0;
  if (isForeign !== true || isEmpty) return fallback;
  throw new LeftAlone(
    `${join(path, HOSTS_TOML)} is nerdctl's alone, and containerd is not to read it; make the directory for what containerd is to read, or list ${dirname(path)} in its config_path and here`,
  );
}
