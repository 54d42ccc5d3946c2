import { existsSync } from 'node:fs';
import { isSea } from 'node:sea';
import { SpegelError } from '../../lib/base/errors.ts';

/** Throws SpegelError ERR_INSTALL unless this process is root's. */
export function assertRoot(): void {
  const uid = process.geteuid?.();
  if (uid === 0) return;
  throw new SpegelError('ERR_INSTALL', `expected to run as root, got user id ${uid}; use sudo`);
}

/** Whether systemd has booted this host. */
export function hasSystemd(): boolean {
  return existsSync('/run/systemd/system');
}

/** Throws SpegelError ERR_INSTALL unless systemd has booted this host. */
export function assertSystemd(): void {
  if (hasSystemd()) return;
  const text =
    "expected a host that systemd has booted, got no /run/systemd/system; without it start 'spegel registry' by what you have, then run 'spegel configuration'";
  throw new SpegelError('ERR_INSTALL', text);
}

/** Throws SpegelError ERR_INSTALL when run from source: only the executable has the units in it. */
export function assertExecutable(): void {
  if (isSea()) return;
  throw new SpegelError(
    'ERR_INSTALL',
    'expected to run as the executable, got its source; make build, then dist/spegel install',
  );
}
