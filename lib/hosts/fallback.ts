import { dirname, isAbsolute, join } from 'node:path';
import { hasStuckDefault } from './administrators-state.ts';
import { type CertsDState, type HiddenCopy, pathOf } from './search-path.ts';
import { withAbsolutePaths } from './toml/absolute-paths.ts';
import type { RegistryKeys } from './toml/block.ts';
import { LeftAlone } from './toml/left-alone.ts';
import { DEFAULT_DIRECTORY } from './toml/registry-name.ts';
import { meaningOf } from './toml/semantics.ts';
import type { AdministratorsDirectory } from './transaction/change.ts';
import { type FoundDirectory, HOSTS_TOML } from './transaction/read-tree.ts';

type Certificates = Pick<RegistryKeys, 'ca' | 'client'>;
type Directory = Pick<FoundDirectory, 'certificates' | 'file'>;

/**
 * What containerd reads for a registry that has no directory of ours: the administrator's
 * `_default`, or the directory that a `_default` of ours would hide.
 */
export interface Fallback {
  /** Absolute path of the directory. */
  readonly path: string;
  /** Text of its hosts.toml; empty for none. */
  readonly text: string;
  readonly mode: number | undefined;
  /** The keys of its hosts.toml that describe the registry itself. */
  readonly root: object;
  /** Whether its hosts.toml has a `host`, be it an empty table. */
  readonly hasHosts: boolean;
  /** What `lostCertificates` says of it. */
  readonly lost: Certificates;
  /** The certificates beside the hosts.toml, whether containerd loads them or not. */
  readonly certificates: Certificates;
}

/**
 * The administrator's `_default`. Throws LeftAlone where it cannot be read, or where its text means
 * something else in another directory.
 */
export function defaultFallback({ current, administrators }: CertsDState): Fallback {
  const there = administrators.get(DEFAULT_DIRECTORY);
  // A `_default` of ours says nothing that the administrator said.
  const directory = hasStuckDefault(administrators) ? undefined : there;
  if (directory !== undefined && 'message' in directory) {
    throw new LeftAlone(`a directory for it would hide ${DEFAULT_DIRECTORY}: ${directory.message}`);
  }
  const fallback = fallbackIn(join(current.root, DEFAULT_DIRECTORY), directory);
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

/** The directory that a `_default` of ours would hide. Throws LeftAlone where it cannot be read. */
export function fallbackFrom(source: NonNullable<HiddenCopy['source']>): Fallback {
  const path = pathOf(source);
  const found = directoryAt(source);
  if ('message' in found) {
    throw new LeftAlone(
      `${path}, which our ${DEFAULT_DIRECTORY} hides from containerd or nerdctl, cannot be taken over: ${found.message}`,
    );
  }
  const { file } = found;
  // From a file that is no TOML, containerd reads nothing either, but it loads the certificates
  // beside it.
  const text = file !== undefined && isToml(file.text) ? withAbsolutePaths(file.text, path) : '';
  refuseRelative(text, join(path, HOSTS_TOML));
  const own = { ...found, file: file && { ...file, text } };
  return fallbackIn(path, own);
}

function directoryAt({ state, name }: NonNullable<HiddenCopy['source']>) {
  const { directories, links, unwritable } = state.current.tree;
  const directory = state.administrators.get(links.get(name) ?? name);
  if (directory !== undefined && !('message' in directory)) return directory;
  // The directory as it is, where the administrator's part is not known.
  return unwritable.get(name) ?? directories.get(name) ?? directory ?? { message: 'it is gone' };
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

function fallbackIn(path: string, found: Directory | undefined): Fallback {
  const text = found?.file?.text ?? '';
  const { root, hosts } = meaningOf(text);
  const certificates = found?.certificates ?? {};
  return {
    path,
    text,
    mode: found?.file?.mode,
    root,
    hasHosts: hosts !== undefined,
    lost: hosts === undefined && found !== undefined ? lostCertificates(found, root) : {},
    certificates,
  };
}

/**
 * The certificates beside a hosts.toml that containerd loads by itself, and no longer loads once
 * the file has `[host…]` tables. It loads them where there is no file, or an empty one; before 2.0
 * also where the file has no `host`, which those versions reject.
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
