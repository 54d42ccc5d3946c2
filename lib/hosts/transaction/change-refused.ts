import { constants } from 'node:fs';
import { join } from 'node:path';
import { codeOf, SpegelError } from '../../base/errors.ts';
import type { Plan } from './change.ts';
import type { Disk } from './disk.ts';
import { explained, withoutPath } from './disk-errors.ts';
import { mountPoints } from './mount-points.ts';
import type { Obstacle } from './read-tree.ts';

/**
 * The change of one directory is not possible, and that of others may be: its file is immutable, or
 * a mount point. Nothing was changed.
 */
export class ChangeRefused extends SpegelError {
  /** The directory's name in certs.d. */
  readonly directory: string;
  /** Without the path in front. */
  readonly reason: string;

  constructor(directory: string, path: string, cause: unknown) {
    const message = cause instanceof Error ? cause.message : String(cause);
    super('ERR_HOSTS', message, { cause });
    this.directory = directory;
    this.reason = withoutPath(message, path);
  }
}

/** Error codes that concern a single path. A disk that is full or broken concerns all paths. */
const CODES: readonly string[] = [
  'EPERM',
  'EACCES',
  'EBUSY',
  'EXDEV',
  'EROFS',
  'EISDIR',
  'ENOTDIR',
];

/** Whether this error, as `explainErrorsAt` gives it, concerns one path alone. */
export function isAboutOnePlace(error: unknown): boolean {
  const cause = error instanceof SpegelError ? error.cause : error;
  return CODES.includes(codeOf(cause) ?? '');
}

/**
 * Does the work, and does it again when the change of a directory was refused, with that directory
 * in `refused`. The work has to leave those out. Each directory is refused once at most.
 */
export function retryWithoutRefused<T>(work: (refused: ReadonlyMap<string, Obstacle>) => T): T {
  const refused = new Map<string, Obstacle>();
  for (;;) {
    try {
      return work(refused);
    } catch (error) {
      if (!(error instanceof ChangeRefused) || refused.has(error.directory)) throw error;
      refused.set(error.directory, { message: error.reason, mayBeOurs: true });
    }
  }
}

/**
 * Throws ChangeRefused for a change below certs.d that is sure to fail. Without it a dry run would
 * show changes for ever that no run can make.
 */
export function refuseImpossibleChanges(root: string, { changes }: Plan, disk: Disk): void {
  if (changes.length === 0) return;
  const mounted = mountPoints(disk);
  for (const { current, name, path } of changes) {
    if (current === undefined) continue;
    const directory = join(root, name);
    refuse(
      name,
      directory,
      mounted.has(directory) ? { code: 'EXDEV' } : immutableError(directory, disk),
    );
    if (current.file === undefined) continue;
    const file = join(root, path);
    refuse(name, file, mounted.has(file) ? { code: 'EBUSY' } : immutableError(file, disk));
  }
}

function refuse(name: string, path: string, reason: unknown): void {
  if (reason !== undefined) throw new ChangeRefused(name, path, explained(reason, path));
}

/** The error that an immutable file or directory (chattr +i) has for every change. */
function immutableError(path: string, disk: Disk): unknown {
  try {
    disk.accessSync(path, constants.W_OK);
    return undefined;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return codeOf(error) === 'EPERM' ? error : undefined;
  }
}
