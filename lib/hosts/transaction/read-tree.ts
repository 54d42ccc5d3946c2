import type { Stats } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { codeOf, messageOf } from '../../base/errors.ts';
import type { RegistryKeys } from '../toml/block.ts';
import { LeftAlone } from '../toml/left-alone.ts';
import { registryOfDirectory } from '../toml/registry-name.ts';
import type { Disk } from './disk.ts';
import { decodeOrNothing, type FoundFile, isDirectory, NoFile, readFile } from './files.ts';
import { isHiddenByUnit } from './mount-points.ts';

export const HOSTS_TOML = 'hosts.toml';

/** A registry's directory in certs.d. */
export interface FoundDirectory {
  readonly name: string;
  /** The registry as in references; `_default` for all. */
  readonly registry: string;
  readonly file: FoundFile | undefined;
  /** The certificates that containerd loads by itself where there is no hosts.toml. */
  readonly certificates: RegistryKeys;
  /** True when it holds nothing beside the file. */
  readonly isBare: boolean;
}

/** Why a directory cannot be read, or must not be written. */
export interface Obstacle {
  readonly message: string;
  /** True when something of ours may be in it: then it is always reported. */
  readonly mayBeOurs: boolean;
  /** True: the entry of certs.d is wrong itself, not the hosts.toml in it. */
  readonly isOddEntry?: boolean;
  /** True: containerd finds nothing there. */
  readonly isAbsent?: boolean;
  /** True: containerd fails there. */
  readonly isBroken?: boolean;
  /** True: without us there would be nothing. */
  readonly isMadeByUs?: boolean;
}

export interface Tree {
  readonly directories: ReadonlyMap<string, FoundDirectory>;
  /** Links to other directories of the same certs.d: by name, the name of that directory. */
  readonly links: ReadonlyMap<string, string>;
  /**
   * What containerd reads in the entries that we cannot write: behind links, or in spite of an
   * obstacle.
   */
  readonly unwritable: ReadonlyMap<string, FoundDirectory>;
  readonly obstacles: ReadonlyMap<string, Obstacle>;
}

/**
 * Reads the registries' directories of a certs.d. An odd entry becomes an obstacle under its name.
 */
export function readTree(root: string, disk: Disk): Tree {
  const directories = new Map<string, FoundDirectory>();
  const links = new Map<string, string>();
  const unwritable = new Map<string, FoundDirectory>();
  const obstacles = new Map<string, Obstacle>();
  for (const name of namesIn(root, disk)) {
    const registry = registryOfDirectory(name);
    const path = join(root, name);
    try {
      if (registry === undefined) {
        refuseMisnamed(path, name, disk);
        continue;
      }
      const kind = disk.lstatSync(path);
      if (kind.isSymbolicLink()) {
        links.set(name, siblingOf(path, root, disk));
      } else if (kind.isDirectory())
        directories.set(name, readDirectory(path, name, registry, disk));
      else refuseNoDirectory(kind, name);
    } catch (error) {
      const isAbsent = registry !== undefined && isDangling(path, disk);
      obstacles.set(name, { ...obstacleOf(error), isAbsent });
    }
    const isOdd = links.has(name) || obstacles.has(name);
    const behind = isOdd && registry ? readUnwritable(path, name, registry, disk) : undefined;
    if (behind !== undefined) unwritable.set(name, behind);
  }
  return { directories, links, unwritable, obstacles };
}

/** An entry of certs.d is wrong itself, not the file in it. */
class OddEntry extends LeftAlone {}

/** Names in certs.d that are not meant for a registry: `.git`, Go Spegel's `_backup`. */
const NO_REGISTRY = /^(?:[._].*|lost\+found)$/;

function refuseMisnamed(path: string, name: string, disk: Disk): void {
  if (NO_REGISTRY.test(name) || !isForContainerd(path, name, disk)) return;
  throw new OddEntry(
    'expected the name of a registry, such as quay.io or 10.0.0.9:5000, got another, for which containerd never looks; rename it',
  );
}

/** A directory for another purpose is no mistake. */
function isForContainerd(path: string, name: string, disk: Disk): boolean {
  // The name cannot be used to find the entry again where it is no UTF-8.
  if (name.includes('\uFFFD')) return true;
  if (!isDirectory(path, disk)) return false;
  const names = namesIn(path, disk);
  return names.length === 0 || names.some((one) => /^hosts\.toml$|\.(?:crt|cert|key)$/.test(one));
}

/** Files that people put beside the directories. */
const DOCUMENT =
  /\.(?:txt|md|toml|json|ya?ml|crt|cert|key|pem|bak|old|orig|save|rpm\w+|dpkg-\w+|tar|t?gz|zip|sh|log)$/i;

function refuseNoDirectory(kind: Stats, name: string): void {
  if (kind.isFile() && DOCUMENT.test(name)) return;
  const got = kind.isFile() ? 'a file' : 'something else';
  throw new OddEntry(
    `expected the directory of a registry, got ${got}, for which containerd fails every pull from there; move it away`,
  );
}

function namesIn(path: string, disk: Disk): string[] {
  try {
    return disk.readdirSync(path).sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** What containerd reads there, also behind links. Undefined where that is not known. */
function readUnwritable(path: string, name: string, registry: string, disk: Disk) {
  try {
    if (!disk.statSync(path).isDirectory()) return undefined;
    return readDirectory(path, name, registry, disk, readBehind);
  } catch (error) {
    if (codeOf(error) === undefined && !(error instanceof LeftAlone)) throw error;
    return undefined;
  }
}

/** From a file that is no UTF-8 containerd reads as little as from one that is no TOML. */
function readBehind(path: string, disk: Disk): FoundFile | undefined {
  if (isDangling(path, disk)) return undefined;
  return readFile(disk.realpathSync(path), disk, decodeOrNothing);
}

/**
 * Whether a path is a link to nothing. A link to a place that systemd hides from this unit is not:
 * containerd sees what is there.
 */
function isDangling(path: string, disk: Disk): boolean {
  if (!disk.lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return false;
  try {
    if (targetOf(path, disk) !== 'nothing') return false;
    return !isHiddenByUnit(resolve(dirname(path), disk.readlinkSync(path)), disk);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return false;
  }
}

function readDirectory(
  path: string,
  name: string,
  registry: string,
  disk: Disk,
  read: (path: string, disk: Disk) => FoundFile | undefined = (file) => readFile(file, disk),
): FoundDirectory {
  const names = namesIn(path, disk);
  return {
    name,
    registry,
    file: names.includes(HOSTS_TOML) ? read(join(path, HOSTS_TOML), disk) : undefined,
    certificates: certificatesIn(path, names, disk),
    isBare: names.every((entry) => entry === HOSTS_TOML),
  };
}

/**
 * `*.crt` are CAs, `*.cert` are clients, with their key in `*.key` or in the same file
 * (containerd's hosts.md).
 */
function certificatesIn(path: string, names: readonly string[], disk: Disk): RegistryKeys {
  const files = names.filter(
    (name) => /\.(?:crt|cert)$/.test(name) && !isDirectory(join(path, name), disk),
  );
  const ca = files.filter((name) => name.endsWith('.crt'));
  const client = files
    .filter((name) => name.endsWith('.cert'))
    .map((name) => {
      const key = `${name.slice(0, -'.cert'.length)}.key`;
      return [name, names.includes(key) ? key : name] as const;
    });
  return { ca, client };
}

/** The name of the directory in the same certs.d to which a link leads. */
function siblingOf(path: string, root: string, disk: Disk): string {
  const target = targetOf(path, disk);
  if (dirname(target) === root) return basename(target);
  throw new LeftAlone(
    `its directory is a symbolic link to ${target}, and we write no file by way of a link out of here`,
  );
}

function targetOf(path: string, disk: Disk): string {
  try {
    return disk.realpathSync(path);
  } catch (error) {
    if (['ENOENT', 'ELOOP', 'ENOTDIR'].includes(codeOf(error) ?? '')) return 'nothing';
    throw error;
  }
}

/**
 * An error as an obstacle. An error of the disk concerns this directory; any other error is a
 * defect and is thrown again.
 */
export function obstacleOf(error: unknown): Obstacle {
  const isDisk = !(error instanceof LeftAlone);
  if (isDisk && codeOf(error) === undefined) throw error;
  const isOddEntry = error instanceof OddEntry;
  const isBroken = isOddEntry || error instanceof NoFile;
  return { message: messageOf(error), mayBeOurs: isDisk, isOddEntry, isBroken };
}
