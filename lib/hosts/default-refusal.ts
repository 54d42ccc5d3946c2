import { dirname, join } from 'node:path';
import type { Fallback } from './fallback.ts';
import { absentDirectory } from './plan.ts';
import { type CertsDState, type HiddenCopy, pathOf, type SearchPath } from './search-path.ts';
import { LeftAlone } from './toml/semantics.ts';
import type { AdministratorsDirectory, DesiredDirectory } from './transaction/change.ts';
import { HOSTS_TOML } from './transaction/read-tree.ts';

/** Why nothing new must come in front of a directory that was not read. */
export function unreadableRefusal({ unread }: SearchPath): string | undefined {
  if (unread === undefined) return undefined;
  const { path, reason } = unread;
  return `it would hide what may be in ${path}, which cannot be read (${reason}); mend that and run this again`;
}

/**
 * Why there must be no `_default` of ours: it would hide something, and a directory beside it that
 * says the same cannot be.
 */
export function copiesRefusal(
  { state, views }: CertsDState,
  covers: ReadonlyMap<string, HiddenCopy>,
  wantedOf: (view: AdministratorsDirectory) => DesiredDirectory,
): string | undefined {
  for (const [name, { registry, source }] of covers) {
    const view = views.get(name) ?? absentDirectory(name);
    try {
      if ('message' in view) throw new LeftAlone(view.message);
      wantedOf({ ...view, registry });
    } catch (error) {
      if (!(error instanceof LeftAlone)) throw error;
      const hidden = source === undefined ? `what is made for ${registry}` : pathOf(source);
      const place = join(state.root, name);
      return `it would hide ${hidden} from containerd or nerdctl, and ${place}, which is to say the same, cannot be: ${error.message}`;
    }
  }
  return undefined;
}

/**
 * containerd may read certificates that are nerdctl's, but it is not sent to other hosts: those may
 * have another image.
 */
export function refuseNerdctlOnly(
  { isForeign, isDisputed }: HiddenCopy,
  fallback: Fallback,
): Fallback {
  const { directory, hasHosts, root } = fallback;
  if (isDisputed === true) {
    throw new LeftAlone('nerdctl and containerd find two directories for it; remove one of them');
  }
  const isEmpty = !hasHosts && Object.keys(root).length === 0;
  if (isForeign !== true || isEmpty) return fallback;
  throw new LeftAlone(
    `${join(directory, HOSTS_TOML)} is nerdctl's alone, and containerd is not to read it; make the directory for what containerd is to read, or list ${dirname(directory)} in its config_path and here`,
  );
}
