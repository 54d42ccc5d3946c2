import { isAbsolute } from 'node:path';
import { LeftAlone, meaningOf } from './meaning.ts';
import type { RegistryKeys } from './mirror-block.ts';
import type { View, Views } from './plan.ts';
import { FILE_NAME } from './read-tree.ts';
import { DEFAULT_DIRECTORY } from './registry-host.ts';

type Certificates = Pick<RegistryKeys, 'ca' | 'client'>;

/** What containerd reads for a registry that has no directory of its own: the administrator's `_default`. */
export interface Fallback {
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
export function fallbackOf(views: Views): Fallback {
  const view = views.get(DEFAULT_DIRECTORY);
  if (view !== undefined && 'message' in view) {
    throw new LeftAlone(`a directory for it would hide ${DEFAULT_DIRECTORY}: ${view.message}`);
  }
  const text = view?.file?.text ?? '';
  const { root, hosts } = meaningOf(text);
  const tables = [root, ...Object.values(hosts ?? {})] as Record<string, unknown>[];
  const paths = tables.flatMap(({ ca, client }) => [ca, client].flat(3));
  if (paths.some((path) => typeof path === 'string' && !isAbsolute(path))) {
    throw new LeftAlone(
      `${DEFAULT_DIRECTORY}/${FILE_NAME} names certificates by relative paths, which mean nothing elsewhere; make them absolute`,
    );
  }
  const lost = hosts === undefined && view !== undefined ? lostCertificates(view, root) : {};
  const certificates = view?.certificates ?? {};
  return { text, mode: view?.file?.mode, root, hasHosts: hosts !== undefined, lost, certificates };
}

/**
 * The certificates that containerd loads by itself, and that a file with `[host…]` tables ends: those beside it
 * where there is no file, or an empty one; before 2.0 also where the file has no `host`, which that rejects.
 */
export function lostCertificates({ certificates }: View, root: object): Certificates {
  const { ca, client } = certificates;
  const lost = { ca: 'ca' in root ? undefined : ca, client: 'client' in root ? undefined : client };
  if ([lost.ca ?? [], lost.client ?? []].flat(2).some((name) => name.includes('\uFFFD'))) {
    throw new LeftAlone('a certificate beside it has a name that is no UTF-8; rename it');
  }
  return lost;
}
