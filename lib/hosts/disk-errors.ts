import { codeOf, messageOf, SpegelError } from '../base/errors.ts';
import { LeftAlone } from './meaning.ts';

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied; run this as root',
  EPERM: 'not permitted; run this as root, and see whether the file is immutable (lsattr)',
  EROFS:
    'the file system is read-only; make it writable or choose another with --containerd-registry-config-path',
  ENOSPC: 'no space is left on the disk; make room and run this again',
  EDQUOT: 'the disk quota is used up; make room and run this again',
  ENOTDIR: 'expected a directory, got something else',
};

/**
 * An error of the disk as a SpegelError ERR_HOSTS for a person: the path, the reason, what to do, and what came
 * of it (`outcome`). What is no error of the disk, a defect, comes back as it is.
 */
export function explained(error: unknown, path: string, outcome = ''): unknown {
  if (error instanceof SpegelError) return error;
  const code = codeOf(error);
  if (code === undefined && !(error instanceof LeftAlone)) return error;
  const reason = REASONS[code ?? ''] ?? messageOf(error);
  return new SpegelError('ERR_HOSTS', `${path}: ${reason}${outcome}`, { cause: error });
}
