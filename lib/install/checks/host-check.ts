import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { goBackupCertainty } from '../../hosts/go-spegel/backup.ts';
import { BACKUP } from '../../hosts/go-spegel/backup-tree.ts';
import { DISK } from '../../hosts/transaction/disk.ts';
import type { InstallFileChange } from '../system/files.ts';
import { type Finding, obstacle } from '../system/finding.ts';
import { SERVICE_FILE, UNIT_FILES, type UnitAdjustments } from '../system/layout.ts';

/**
 * Every unit of ours has one of these lines, in every version. A unit that an administrator wrote
 * by hand has none.
 */
const OUR_LINE = /^(?:EnvironmentFile=-\/etc\/spegel\/spegel\.env|Unit=spegel-settings\.service)$/m;

/** What is wrong with the host, apart from containerd. */
export function checkHost(hostsPaths: readonly string[]): Finding[] {
  return [...unitFindings(), ...hostsPaths.flatMap(goBackupFindings)];
}

/** A unit of the same name that an administrator wrote by hand is not ours to replace. */
function unitFindings(): Finding[] {
  return UNIT_FILES.filter((path) => existsSync(path) && !isOurUnit(path)).map((path) =>
    obstacle('unit', `expected no other unit at ${path}, got one that is not ours`, [
      'systemctl disable --now spegel.service',
      `mv ${path} /root/`,
    ]),
  );
}

/** A link to nothing: the service would run without its settings, and a link is not replaced. */
export function deadLinkFindings(path: string): Finding[] {
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  if (!isLink || existsSync(path)) return [];
  const text = `expected a file or nothing at ${path}, got a link to nothing; put there what it leads to, or take it away`;
  return [obstacle('settings', text, [`ls -l ${path}`, `rm ${path}`])];
}

/** Files of other programs that a first installation would replace. */
export function foreignFindings(changes: readonly InstallFileChange[]): Finding[] {
  if (existsSync(SERVICE_FILE)) return [];
  return changes
    .filter(({ action }) => action === 'change')
    .map(({ path }) =>
      obstacle('foreign', `expected nothing at ${path}, got a file that 'install' did not write`, [
        `mv ${path} ${path}.before`,
      ]),
    );
}

/** Whether a unit file is one of ours, of whatever version. */
export function isOurUnit(path: string): boolean {
  return OUR_LINE.test(readFileSync(path, 'utf8'));
}

/** `configuration` refuses to write beside this backup. */
function goBackupFindings(hostsPath: string): Finding[] {
  if (!existsSync(hostsPath) || goBackupCertainty(hostsPath, DISK) !== 'certain') return [];
  const path = join(hostsPath, BACKUP);
  const text = `expected no settings that Go Spegel moved away, got ${path}; this puts them back`;
  return [
    obstacle('_backup', text, [`spegel cleanup --containerd-registry-config-path ${hostsPath}`]),
  ];
}

/**
 * The adjustments that the units need on this host, and why the service could not open containerd's
 * socket.
 */
export function unitAdjustments(socket: string): Omit<
  UnitAdjustments,
  'hostsPaths' | 'servicePaths' | 'containerdUnit' | 'proxy'
> & {
  readonly findings: Finding[];
} {
  const { gid, mode } = statSync(socket, { throwIfNoEntry: false }) ?? { gid: 0, mode: 0o660 };
  const isOpen = (mode & 0o060) === 0o060 || (mode & 0o006) === 0o006;
  const text = `expected containerd's socket ${socket} to be open to its group, got mode ${(mode & 0o777).toString(8)}; the service is no root`;
  return {
    hasUserNamespaces: readNumber('/proc/sys/user/max_user_namespaces') !== 0,
    socketGroup: gid === 0 ? undefined : groupName(gid),
    findings: isOpen ? [] : [obstacle('socket', text, [`chmod g+rw ${socket}`])],
  };
}

function readNumber(path: string): number | undefined {
  return existsSync(path) ? Number(readFileSync(path, 'utf8').trim()) : undefined;
}

function groupName(gid: number): string {
  const groups = existsSync('/etc/group') ? readFileSync('/etc/group', 'utf8') : '';
  const line = groups.split('\n').find((group) => group.split(':')[2] === String(gid));
  return line?.split(':')[0] || String(gid);
}
