import { accessSync, constants, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { codeOf, messageOf } from '../../base/errors.ts';
import type { InstallFile, InstallFileChange } from '../system/files.ts';
import { type Finding, obstacle } from '../system/finding.ts';

/** A small file takes one block. */
const BLOCK = 4_096;
const MB = 1e6;

/** A directory to write to, and the files that will be in it. */
interface TargetDirectory {
  /** The closest directory that exists; those below it will be created. */
  readonly directory: string;
  readonly paths: string[];
  bytes: number;
}

/** Why the disks of this host refuse these changes, or files in these further `directories`. */
export function diskFindings(
  files: readonly InstallFile[],
  changes: readonly InstallFileChange[],
  directories: readonly string[],
): Finding[] {
  const targets = new Map<string, TargetDirectory>();
  const add = (parent: string, path: string, bytes: number) => {
    const directory = closest(parent);
    const target = targets.get(directory) ?? { directory, paths: [], bytes: 0 };
    target.paths.push(path);
    target.bytes += bytes;
    targets.set(directory, target);
  };
  for (const { path } of changes) {
    const file = files.find((one) => one.path === path);
    add(dirname(path), path, bytesOf(file?.content));
  }
  for (const path of directories) add(path, path, BLOCK);
  const all = [...targets.values()];
  const refused = all.flatMap(writeFindings);
  return refused.length > 0 ? refused : spaceFindings(all);
}

/** The closest existing ancestor, or the path itself. */
function closest(path: string): string {
  const isThere = statOf(path) !== undefined || dirname(path) === path;
  return isThere ? path : closest(dirname(path));
}

function statOf(path: string) {
  try {
    return statSync(path);
  } catch {
    // Missing, or below something that is no directory: the ancestor is tried next.
    return undefined;
  }
}

function bytesOf(content: InstallFile['content']): number {
  if (content === undefined) return 0;
  if (typeof content !== 'string') return statSync(content.copyOf).size;
  return Math.ceil(Buffer.byteLength(content) / BLOCK) * BLOCK;
}

function writeFindings({ directory, paths }: TargetDirectory): Finding[] {
  const got = statOf(directory)?.isDirectory() ? refusal(directory) : 'something else';
  if (got === undefined) return [];
  const text = `expected a directory to write to at ${directory}, for ${paths.join(', ')}; got ${got}`;
  return [obstacle('writable', text, [`findmnt --target ${directory}`])];
}

function refusal(directory: string): string | undefined {
  try {
    accessSync(directory, constants.W_OK);
    return undefined;
  } catch (error) {
    return codeOf(error) === 'EROFS' ? 'a read-only file system' : messageOf(error);
  }
}

/**
 * A file that is replaced needs its space twice: the old one stays until the new one is complete.
 */
function spaceFindings(targets: readonly TargetDirectory[]): Finding[] {
  const disks = Map.groupBy(targets, ({ directory }) => statOf(directory)?.dev);
  return [...disks.values()].flatMap((some) => {
    const [{ directory } = { directory: '/' }] = some;
    const needed = some.reduce((sum, { bytes }) => sum + bytes, 0);
    const { bfree, bsize } = statfsSync(directory);
    const free = bfree * bsize;
    if (free >= needed) return [];
    const text = `expected ${(needed / MB).toFixed(1)} MB to be free at ${directory}, got ${(free / MB).toFixed(1)} MB; make room`;
    return [obstacle('space', text, [`df -h ${directory}`])];
  });
}
