/** Trees of files on the disk: written, looked at and compared as plain values. */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DISK, type Disk } from '../../lib/hosts/transaction/disk.ts';

export type Entry =
  /** `data`: a text, or bytes that are no UTF-8. */
  | { kind: 'file'; data: string | Buffer; mode: number; uid: number; gid: number }
  | { kind: 'directory'; mode: number; uid: number; gid: number }
  | { kind: 'link'; target: string };

/** By path relative to some root; directories that nobody names are 0755. */
export type Tree = Record<string, Entry>;

export const IS_ROOT = process.getuid?.() === 0;
const [UID = 0, GID = 0] = [process.getuid?.(), process.getgid?.()];

export function file(data: string | Buffer, mode = 0o644, uid = UID, gid = GID): Entry {
  return { kind: 'file', data, mode, uid, gid };
}

export function directory(mode = 0o755, uid = UID, gid = GID): Entry {
  return { kind: 'directory', mode, uid, gid };
}

export function link(target: string): Entry {
  return { kind: 'link', target };
}

/** In memory where that is to be had: these tests make a hundred thousand files. */
export const SCRATCH_BASE = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/**
 * The disk, without waiting for it: what fsync is for, a power cut, is not what these tests can
 * cause.
 */
export const QUICK_DISK: Disk = { ...DISK, fsyncSync: () => undefined };

/** Runs `body` with a new directory, which is gone afterwards. */
export async function inScratch<T>(body: (path: string) => T | Promise<T>): Promise<T> {
  const path = fs.mkdtempSync(join(SCRATCH_BASE, 'spegel-hosts-'));
  try {
    return await body(path);
  } finally {
    fs.rmSync(path, { recursive: true, force: true });
  }
}

/** Writes a tree below `root`, which is made. */
export function writeTree(root: string, tree: Tree): void {
  fs.mkdirSync(root, { recursive: true });
  // Modes of directories last: one that bars writing would bar its own content. Parents before
  // children.
  const entries = Object.entries(tree).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, entry] of entries) {
    const path = join(root, name);
    fs.mkdirSync(entry.kind === 'directory' ? path : dirname(path), { recursive: true });
    if (entry.kind === 'link') fs.symlinkSync(entry.target, path);
    if (entry.kind === 'file') fs.writeFileSync(path, entry.data);
  }
  for (const [name, entry] of entries) {
    if (entry.kind === 'link') continue;
    const path = join(root, name);
    if (IS_ROOT) fs.chownSync(path, entry.uid, entry.gid);
    fs.chmodSync(path, entry.mode);
  }
}

/** What is below `root`, apart from what `isSkipped`; an empty tree where there is nothing. */
export function readTree(root: string, isSkipped: (path: string) => boolean = () => false): Tree {
  const tree: Tree = {};
  const visit = (name: string) => {
    if (name !== '' && isSkipped(name)) return;
    const path = join(root, name);
    const { mode: bits, uid, gid, ...stat } = lstat(path);
    const mode = bits & 0o7777;
    if (stat.isSymbolicLink()) tree[name] = link(fs.readlinkSync(path));
    else if (stat.isFile()) tree[name] = file(content(path), mode, uid, gid);
    else if (name !== '') tree[name] = directory(mode, uid, gid);
    if (!stat.isDirectory()) return;
    for (const child of fs.readdirSync(path).sort()) visit(join(name, child));
  };
  if (fs.existsSync(root)) visit('');
  return tree;
}

function lstat(path: string) {
  const stat = fs.lstatSync(path);
  const { mode, uid, gid } = stat;
  return {
    mode,
    uid,
    gid,
    isDirectory: () => stat.isDirectory(),
    isFile: () => stat.isFile(),
    isSymbolicLink: () => stat.isSymbolicLink(),
  };
}

function content(path: string): string | Buffer {
  const bytes = fs.readFileSync(path);
  const text = bytes.toString();
  return bytes.equals(Buffer.from(text)) ? text : bytes;
}

/** True for our work directory and what is in it, in certs.d or beside it. */
export function isHidden(path: string): boolean {
  return /(?:^|\/)\.spegel(?:-|\/|$)/.test(path);
}

/** The tree without our hidden directories, whose content is nobody's business but ours. */
export function visibleTree(root: string): Tree {
  return readTree(root, isHidden);
}

/** Compares two trees; the message lists only what differs. */
export function assertSameTree(actual: Tree, expected: Tree, message: string): void {
  const differences = treeDifferences(actual, expected);
  assert.ok(differences.length === 0, `${message}:\n${differences.join('\n')}`);
}

export function treeDifferences(actual: Tree, expected: Tree): string[] {
  const names = new Set([...Object.keys(expected), ...Object.keys(actual)]);
  return [...names].sort().flatMap((name) => {
    const [is, shouldBe] = [shown(actual[name]), shown(expected[name])];
    return is === shouldBe ? [] : [`  ${name}\n    expected ${shouldBe}\n    got      ${is}`];
  });
}

function shown(entry: Entry | undefined): string {
  if (entry === undefined) return 'nothing';
  if (entry.kind === 'link') return `a link to ${entry.target}`;
  const rights = `${entry.mode.toString(8)} ${entry.uid}:${entry.gid}`;
  if (entry.kind === 'directory') return `a directory, ${rights}`;
  const { data } = entry;
  return `a file, ${rights}, ${typeof data === 'string' ? JSON.stringify(data) : `bytes ${data.toString('hex')}`}`;
}
