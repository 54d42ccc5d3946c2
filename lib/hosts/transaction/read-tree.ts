import { constants, type Stats } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { codeOf, messageOf } from '../../base/errors.ts';
import type { RegistryKeys } from '../toml/block.ts';
import { registryOfDirectory } from '../toml/registry-name.ts';
import { LeftAlone } from '../toml/semantics.ts';
import type { Disk } from './disk.ts';
import type { FileOwner } from './files.ts';
import { isDirectory } from './files.ts';
import { isHiddenByUnit } from './mount-points.ts';

export const HOSTS_TOML = 'hosts.toml';

/** An administrator's file has a few hundred bytes; more than this is none. */
export const MAX_FILE_BYTES = 1024 * 1024;
/** With what we add, of which a copy of `_default` may be a part. */
const MAX_READ_BYTES = 3 * MAX_FILE_BYTES;

export interface FoundFile {
  readonly text: string;
  readonly mode: number;
  readonly owner: FileOwner;
}

/** A registry's directory in certs.d. */
export interface FoundDirectory {
  readonly name: string;
  /** As in references, `_default` for all. */
  readonly registry: string;
  readonly file: FoundFile | undefined;
  /** The certificates that containerd loads by itself where there is no hosts.toml. */
  readonly certificates: RegistryKeys;
  /** True when there is nothing in it beside the file. */
  readonly isBare: boolean;
}

/** Why a directory cannot be read, or must not be written. */
export interface Obstacle {
  readonly message: string;
  /** True when something of ours may be in it: then it is always to be named. */
  readonly mayBeOurs: boolean;
  /** True: the entry of certs.d is what is wrong, not the hosts.toml in it. */
  readonly isEntry?: boolean;
  /** True: containerd finds nothing there. */
  readonly isAbsent?: boolean;
  /** True: containerd fails there. */
  readonly isBroken?: boolean;
  /** True: without us there would be nothing. */
  readonly isMade?: boolean;
}

export interface Tree {
  readonly directories: ReadonlyMap<string, FoundDirectory>;
  /** Links to other directories of the same certs.d: by name, the name of that directory. */
  readonly links: ReadonlyMap<string, string>;
  /** What containerd reads in those that we cannot write, by way of links or not. */
  readonly seen: ReadonlyMap<string, FoundDirectory>;
  readonly obstacles: ReadonlyMap<string, Obstacle>;
}

/** Reads the registries' directories of a certs.d; what is odd there is an obstacle by its name. */
export function readTree(root: string, disk: Disk): Tree {
  const directories = new Map<string, FoundDirectory>();
  const links = new Map<string, string>();
  const seen = new Map<string, FoundDirectory>();
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
    const behind = isOdd && registry ? readSeen(path, name, registry, disk) : undefined;
    if (behind !== undefined) seen.set(name, behind);
  }
  return { directories, links, seen, obstacles };
}

/** What is wrong with an entry of certs.d itself, not with the file in it. */
class OddEntry extends LeftAlone {}

class NoFile extends LeftAlone {
  constructor() {
    super('expected a file, got something else');
  }
}

/**
 * Directories of others in certs.d, which are not meant for a registry: `.git`, Go Spegel's
 * `_backup`.
 */
const NO_REGISTRY = /^(?:[._].*|lost\+found)$/;

function refuseMisnamed(path: string, name: string, disk: Disk): void {
  if (NO_REGISTRY.test(name) || !isForContainerd(path, name, disk)) return;
  throw new OddEntry(
    'expected the name of a registry, such as quay.io or 10.0.0.9:5000, got another, for which containerd never looks; rename it',
  );
}

/** Somebody's directory of other things is no mistake. */
function isForContainerd(path: string, name: string, disk: Disk): boolean {
  // A name that is no UTF-8 is not found again.
  if (name.includes('\uFFFD')) return true;
  if (!isDirectory(path, disk)) return false;
  const names = namesIn(path, disk);
  return names.length === 0 || names.some((one) => /^hosts\.toml$|\.(?:crt|cert|key)$/.test(one));
}

/** Files beside the directories that are there for people. */
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

/** What containerd reads there, by way of links, too; undefined where that cannot be said. */
function readSeen(path: string, name: string, registry: string, disk: Disk) {
  try {
    if (!disk.statSync(path).isDirectory()) return undefined;
    return readDirectory(path, name, registry, disk, readBehind);
  } catch (error) {
    if (codeOf(error) === undefined && !(error instanceof LeftAlone)) throw error;
    return undefined;
  }
}

/** Of a file that is no UTF-8 containerd reads as little as of one that is no TOML. */
function readBehind(path: string, disk: Disk): FoundFile | undefined {
  if (isDangling(path, disk)) return undefined;
  return readFile(disk.realpathSync(path), disk, decodeOrNothing);
}

/**
 * A link to nothing. Not one that leads where a unit sees something else than containerd does.
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
 * Reads a file that is to be written again later. Throws LeftAlone for what is no plain file of bounded size:
 * it is opened so that neither a link is followed nor a pipe waited for, whatever its name stands for by then.
 */
export function readFile(path: string, disk: Disk, textOf = decode): FoundFile {
  const descriptor = openPlain(path, disk);
  try {
    const stat = disk.fstatSync(descriptor);
    if (!stat.isFile()) throw new NoFile();
    if (stat.size > MAX_READ_BYTES) {
      throw new LeftAlone(`expected at most ${MAX_FILE_BYTES} bytes, got ${stat.size}`);
    }
    const { uid, gid } = stat;
    const text = textOf(disk.readFileSync(descriptor));
    // An editor's file may have been renamed into its place while this one was read.
    const { dev, ino } = disk.lstatSync(path);
    if (dev !== stat.dev || ino !== stat.ino) throw new LeftAlone('somebody else is writing it');
    return { text, mode: stat.mode & 0o7777, owner: { uid, gid } };
  } finally {
    disk.closeSync(descriptor);
  }
}

function openPlain(path: string, disk: Disk): number {
  try {
    return disk.openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ELOOP') {
      throw new LeftAlone(
        'it is a symbolic link, and we write no file by way of a link; put the file itself here',
      );
    }
    if (codeOf(error) === 'ENXIO') throw new NoFile();
    throw error;
  }
}

/** Exactly the file's bytes as a text: a byte order mark stays, and what is no UTF-8 is refused. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new LeftAlone('expected UTF-8, as TOML is, got other bytes; correct it');
  }
}

function decodeOrNothing(bytes: Uint8Array): string {
  try {
    return decode(bytes);
  } catch (error) {
    if (!(error instanceof LeftAlone)) throw error;
    return '';
  }
}

/** `*.crt` are CAs, `*.cert` are clients, with their key in `*.key` or in themselves (containerd, docs/hosts.md). */
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

/** The name of the directory beside it that a link leads to. */
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

/** What is in the way, for a person. Errors of the disk are about this directory; anything else is a defect. */
export function obstacleOf(error: unknown): Obstacle {
  const isDisk = !(error instanceof LeftAlone);
  if (isDisk && codeOf(error) === undefined) throw error;
  const isEntry = error instanceof OddEntry;
  const isBroken = isEntry || error instanceof NoFile;
  return { message: messageOf(error), mayBeOurs: isDisk, isEntry, isBroken };
}
