import { isAbsolute, join } from 'node:path';
import { hasStuckDefault } from './plan.ts';
import { type CertsDState, type HiddenCopy, pathOf } from './search-path.ts';
import { withAbsolutePaths } from './toml/absolute-paths.ts';
import type { RegistryKeys } from './toml/block.ts';
import { DEFAULT_DIRECTORY } from './toml/registry-name.ts';
import { LeftAlone, meaningOf } from './toml/semantics.ts';
import type { AdministratorsDirectory } from './transaction/change.ts';
import { type FoundDirectory, HOSTS_TOML } from './transaction/read-tree.ts';

type Certificates = Pick<RegistryKeys, 'ca' | 'client'>;
type Directory = Pick<FoundDirectory, 'certificates' | 'file'>;

/**
 * What is read for a registry that has no directory of ours: the administrator's `_default`, or
 * another one.
 */
export interface Fallback {
  /** Absolute path of the directory. */
  readonly directory: string;
  /** Of its hosts.toml; empty for none. */
  readonly text: string;
  readonly mode: number | undefined;
  readonly root: object;
  readonly hasHosts: boolean;
  readonly lost: Certificates;
  /** Names of those beside it, needed or not. */
  readonly certificates: Certificates;
}

/** Throws LeftAlone where it cannot be read, or would mean something else in another directory. */
export function defaultFallback({ state, views }: CertsDState): Fallback {
  const there = views.get(DEFAULT_DIRECTORY);
  // Ours says nothing that anybody else has said.
  const view = hasStuckDefault(views) ? undefined : there;
  if (view !== undefined && 'message' in view) {
    throw new LeftAlone(`a directory for it would hide ${DEFAULT_DIRECTORY}: ${view.message}`);
  }
  const fallback = fallbackIn(join(state.root, DEFAULT_DIRECTORY), view);
  refuseRelative(fallback.text, `${DEFAULT_DIRECTORY}/${HOSTS_TOML}`);
  return fallback;
}

function refuseRelative(text: string, name: string): void {
  const { root, hosts } = meaningOf(text);
  const tables = [root, ...Object.values(hosts ?? {})] as Record<string, unknown>[];
  const paths = tables.flatMap(({ ca, client }) => [ca, client].flat(3));
  if (paths.some((path) => typeof path === 'string' && !isAbsolute(path))) {
    throw new LeftAlone(
      `${name} names certificates by relative paths, which mean nothing elsewhere; make them absolute`,
    );
  }
}

/**
 * What the directory says that a `_default` of ours would hide. Throws LeftAlone where it cannot be
 * read.
 */
export function fallbackFrom(source: NonNullable<HiddenCopy['source']>): Fallback {
  const directory = pathOf(source);
  const found = directoryAt(source);
  if ('message' in found) {
    throw new LeftAlone(
      `${directory}, which our ${DEFAULT_DIRECTORY} hides from containerd or nerdctl, cannot be taken over: ${found.message}`,
    );
  }
  const { file } = found;
  // Of a file that is no TOML containerd reads nothing either, but the certificates beside it.
  const text =
    file !== undefined && isToml(file.text) ? withAbsolutePaths(file.text, directory) : '';
  refuseRelative(text, join(directory, HOSTS_TOML));
  const own = { ...found, file: file && { ...file, text } };
  return fallbackIn(directory, own);
}

function directoryAt({ place, name }: NonNullable<HiddenCopy['source']>) {
  const { directories, links, seen } = place.state.tree;
  const view = place.views.get(links.get(name) ?? name);
  if (view !== undefined && !('message' in view)) return view;
  // As it stands, with what may be ours in it.
  return seen.get(name) ?? directories.get(name) ?? view ?? { message: 'it is gone' };
}

function isToml(text: string): boolean {
  try {
    meaningOf(text);
    return true;
  } catch (error) {
    if (error instanceof LeftAlone) return false;
    throw error;
  }
}

function fallbackIn(directory: string, found: Directory | undefined): Fallback {
  const text = found?.file?.text ?? '';
  const { root, hosts } = meaningOf(text);
  const certificates = found?.certificates ?? {};
  return {
    directory,
    text,
    mode: found?.file?.mode,
    root,
    hasHosts: hosts !== undefined,
    lost: hosts === undefined && found !== undefined ? lostCertificates(found, root) : {},
    certificates,
  };
}

/**
 * The certificates that containerd loads by itself, and that a file with `[host…]` tables ends: those beside it
 * where there is no file, or an empty one; before 2.0 also where the file has no `host`, which that rejects.
 */
export function lostCertificates(
  { certificates }: Pick<AdministratorsDirectory, 'certificates'>,
  root: object,
): Certificates {
  const { ca, client } = certificates;
  const lost = { ca: 'ca' in root ? undefined : ca, client: 'client' in root ? undefined : client };
  if ([lost.ca ?? [], lost.client ?? []].flat(2).some((name) => name.includes('\uFFFD'))) {
    throw new LeftAlone('a certificate beside it has a name that is no UTF-8; rename it');
  }
  return lost;
}
