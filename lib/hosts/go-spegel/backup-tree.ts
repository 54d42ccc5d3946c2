import { constants, type Dirent, type Stats } from 'node:fs';
import { codeOf } from '../../base/errors.ts';
import { MAX_FILE_BYTES } from '../transaction/constants.ts';
import type { Disk } from '../transaction/disk.ts';
import { HOSTS_TOML } from '../transaction/read-tree.ts';
import { type GoVerdict, judgeGoHostsToml } from './hosts-toml.ts';

/** One name of a path. As bytes where it was read, since names need not be UTF-8. */
export type PathPart = Buffer | string;

/** Where Go Spegel moves what was in certs.d before it. */
export const BACKUP = '_backup';
/**
 * Marks `_backup` while Go Spegel's files are being removed. Directories that are removed wait in
 * it.
 */
export const CLEARING = '.spegel-clearing';
/** Replaces CLEARING once the files are removed, as long as anything is left in `_backup`. */
export const RESTORING = '.spegel-restoring';

const SLASH = Buffer.from('/');

/** A certs.d with Go Spegel's `_backup`. Only `read` follows links. */
export class BackupTree {
  readonly #disk: Disk;
  readonly #root: Buffer;

  constructor(root: string, disk: Disk) {
    this.#disk = disk;
    this.#root = Buffer.from(root);
  }

  /** The entries of a directory, in the order of their names. */
  names(...path: PathPart[]): Dirent<Buffer>[] {
    const options = { encoding: 'buffer', withFileTypes: true } as const;
    const entries = this.#disk.readdirSync(this.#at(path), options);
    return entries.sort((one, other) => one.name.compare(other.name));
  }

  isDirectory(...path: PathPart[]): boolean {
    return this.lstat(...path)?.isDirectory() === true;
  }

  lstat(...path: PathPart[]): Stats | undefined {
    return unlessAbsent(() => this.#disk.lstatSync(this.#at(path)));
  }

  /**
   * The bytes of a file, or of the file that a link points to. Undefined for anything else, and for
   * a file that is too large.
   */
  read(...path: PathPart[]): Buffer | undefined {
    return unlessAbsent(() => {
      const found = this.#disk.statSync(this.#at(path));
      if (!found.isFile() || found.size > MAX_FILE_BYTES) return undefined;
      return this.#disk.readFileSync(this.#at(path));
    });
  }

  /** The verdict on the hosts.toml of a directory of certs.d. A link is never Go Spegel's. */
  judge(registry: PathPart): GoVerdict | undefined {
    if (registry.toString() === BACKUP || !this.isDirectory(registry)) return undefined;
    if (!this.lstat(registry, HOSTS_TOML)?.isFile()) return undefined;
    const text = this.read(registry, HOSTS_TOML);
    const before = this.read(BACKUP, registry, HOSTS_TOML);
    return text && judgeGoHostsToml(registry.toString(), text.toString(), before?.toString());
  }

  /** Whether both are files, or links to one, and have the same bytes. */
  isSame(one: PathPart[], other: PathPart[]): boolean {
    const bytes = this.read(...one);
    return bytes !== undefined && this.read(...other)?.equals(bytes) === true;
  }

  /** The entries of a directory in `_backup`, without our markers. */
  backedUp(path: PathPart[]): Dirent<Buffer>[] {
    const markers = path.length === 0 ? [CLEARING, RESTORING] : [];
    return this.names(BACKUP, ...path).filter(({ name }) => !markers.includes(name.toString()));
  }

  /** The first path that is in the way of an entry of `_backup`. */
  obstacle(path: PathPart[]): string | undefined {
    for (const { name } of this.backedUp(path)) {
      const there = this.lstat(...path, name);
      if (there === undefined) continue;
      const isMerge = there.isDirectory() && this.isDirectory(BACKUP, ...path, name);
      const obstacle = isMerge ? this.obstacle([...path, name]) : pathText([...path, name]);
      if (obstacle !== undefined) return obstacle;
    }
    return undefined;
  }

  mkdir(...path: PathPart[]): void {
    this.#disk.mkdirSync(this.#at(path), 0o700);
  }

  rename(from: readonly PathPart[], to: readonly PathPart[]): void {
    this.#disk.renameSync(this.#at(from), this.#at(to));
  }

  unlink(...path: PathPart[]): void {
    this.#disk.unlinkSync(this.#at(path));
  }

  rmdir(...path: PathPart[]): void {
    this.#disk.rmdirSync(this.#at(path));
  }

  /** Makes the changes of a directory's entries last through a power cut. */
  sync(...path: PathPart[]): void {
    this.#withDirectory(path, (fd) => this.#disk.fsyncSync(fd));
  }

  /** Gives a directory the mode and the owner of another. */
  setAttributes(path: readonly PathPart[], { mode, uid, gid }: Stats): void {
    this.#withDirectory(path, (fd) => {
      const now = this.#disk.fstatSync(fd);
      if (now.uid !== uid || now.gid !== gid) this.#disk.fchownSync(fd, uid, gid);
      if (now.mode !== mode) this.#disk.fchmodSync(fd, mode & 0o7777);
      this.#disk.fsyncSync(fd);
    });
  }

  #withDirectory(path: readonly PathPart[], act: (fd: number) => void): void {
    // The root itself may be a link.
    const noFollow = path.length === 0 ? 0 : constants.O_NOFOLLOW;
    const fd = this.#disk.openSync(this.#at(path), constants.O_DIRECTORY | noFollow);
    try {
      act(fd);
    } finally {
      this.#disk.closeSync(fd);
    }
  }

  #at(path: readonly PathPart[]): Buffer {
    return Buffer.concat([this.#root, ...path.flatMap((part) => [SLASH, Buffer.from(part)])]);
  }
}

function unlessAbsent<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** A path for messages. */
export function pathText(path: readonly PathPart[]): string {
  return path.map((part) => part.toString()).join('/');
}
