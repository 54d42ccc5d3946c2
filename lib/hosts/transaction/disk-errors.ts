import { codeOf, messageOf, SpegelError } from '../../base/errors.ts';
import { LeftAlone } from '../toml/left-alone.ts';

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied; run this as root',
  EPERM: 'not permitted; run this as root, and see whether the file is immutable (lsattr)',
  EROFS:
    'the file system is read-only; make it writable or choose another with --containerd-registry-config-path (spegel-configuration.service writes only /etc/containerd, and what ReadWritePaths= of a drop-in names: spegel install writes one)',
  ENOSPC: 'no space is left on the disk; make room and run this again',
  EDQUOT: 'the disk quota is used up; make room and run this again',
  EBUSY: 'it is a mount point of its own, which no rename can replace; unmount it',
  EXDEV: 'it is on another file system than the directory; unmount it',
  ENOTDIR: 'expected a directory, got something else',
};

/**
 * An error of the disk as a SpegelError ERR_HOSTS that names the path, the reason and what to do.
 * An error that is not of the disk is a defect, and comes back as it is.
 */
export function explained(error: unknown, path: string): unknown {
  const code = codeOf(error);
  const isDefect = code === undefined && !(error instanceof LeftAlone);
  if (isDefect || error instanceof SpegelError) return error;
  const reason = REASONS[code ?? ''] ?? messageOf(error);
  return new SpegelError('ERR_HOSTS', `${path}: ${reason}`, { cause: error });
}

/** Does the work. Its errors are explained as errors of this path. */
export function explainErrorsAt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw explained(error, path);
  }
}

/** The same error, with the outcome in its message. */
export function withOutcome(error: unknown, outcome: string): unknown {
  if (!(error instanceof SpegelError)) return error;
  return new SpegelError(error.code, `${error.message}; ${outcome}`, { cause: error });
}

/** The message without its path in front, for a report that names the path beside it. */
export function withoutPath(message: string, path: string): string {
  return message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;
}
