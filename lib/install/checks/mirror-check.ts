import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { canonicalIp, isLoopback, portOf } from '../../base/address.ts';
import { messageOf, SpegelError } from '../../base/errors.ts';
import type { ConfigurationSettings } from '../../hosts/configuration-settings.ts';
import { filesInDesiredState, type HostsOutcome } from '../../hosts/outcome.ts';
import { localAddresses } from '../../port/local-addresses.ts';
import { ownTarget } from '../../port/own-target.ts';
import { portConflicts } from '../../port/port-conflicts.ts';
import { peerIdsOf } from '../../port/port-note.ts';
import { dryRunMirrors, type VersionSource } from '../settings/mirror-settings.ts';
import { changedAt } from '../system/files.ts';
import { advice, type Finding, obstacle } from '../system/finding.ts';
import { CONFIGURATION_UNIT, ENVIRONMENT_FILE, shortName } from '../system/layout.ts';
import type { Listener } from '../system/socket-unit.ts';
import { MAX_NAMED_FILES } from './constants.ts';
import { peerAtRegistry } from './daemon-status.ts';

const RESTART = `systemctl restart ${shortName(CONFIGURATION_UNIT)}`;

/** Reports targets of containerd that do not lead to the registry of this host. */
export function targetFindings(targets: readonly string[], registry: Listener): Finding[] {
  const { option, port } = registry;
  // Port 0: the system chooses the port.
  if (port === 0 || targets.some((target) => isOurs(new URL(target), registry))) return [];
  const text = `expected MIRROR_TARGETS to name the registry of this host, which ${option} puts on port ${port}, got ${targets.join(', ')}; in ${ENVIRONMENT_FILE}`;
  return [advice('mirror-targets', text, [`MIRROR_TARGETS=${ownTarget(registry) ?? ''}`, RESTART])];
}

/**
 * Targets at which another program than this host's registry listens: the mirror settings would not
 * be written. `pid`: of the service, 0 while it does not run. `isTaken`: another finding reports
 * that the registry's own port is taken.
 */
export function portConflictFindings(
  targets: readonly string[],
  registry: Listener,
  { pid, isTaken }: { readonly pid: number; readonly isTaken: boolean },
): Finding[] {
  return (
    portConflicts(targets, { pids: pid === 0 ? [] : [pid] })
      // systemd will hold a port that is free now.
      .filter(({ isThere }) => isThere)
      .filter(({ target }) => !isTaken || !isOurs(new URL(target), registry))
      .map(({ message }) => obstacle('mirror-targets', message))
  );
}

/**
 * Reports targets at which another registry answers: a name may lead to another host, and so may a
 * proxy. `pid`: of the running service.
 */
export async function targetAnswerFindings(
  targets: readonly string[],
  pid: number,
  signal: AbortSignal,
): Promise<Finding[]> {
  const own = peerIdsOf(pid);
  // Only containerd knows which certificates it trusts.
  const isAskable = own.size > 0 && targets.every((target) => target.startsWith('http:'));
  if (!isAskable) return [];
  const answers = await Promise.all(targets.map((target) => wrongAnswer(target, own, signal)));
  if (answers.includes(undefined)) return [];
  const text = `expected the Spegel of this host to answer where MIRROR_TARGETS has containerd ask, got ${answers.join(', ')}; in ${ENVIRONMENT_FILE}`;
  return [advice('mirror-targets', text, [RESTART])];
}

/** What answers there instead; undefined: this host. */
async function wrongAnswer(
  target: string,
  own: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const node = await peerAtRegistry(`${target.replace(/\/$/, '')}/v2/`, signal);
    if (node !== undefined && own.has(node)) return undefined;
    return `${node === undefined ? 'another program' : 'another host'} at ${target}`;
  } catch (error) {
    signal.throwIfAborted();
    return `${messageOf(error)} at ${target}`;
  }
}

/**
 * Whether a target may lead to the registry: its port is the same, and its host is a name, which
 * may be one of this host's, or an address of this host.
 */
function isOurs(url: URL, registry: Listener): boolean {
  if (portOf(url) !== registry.port) return false;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) === 0) return true;
  const ip = canonicalIp(host);
  return isLoopback(ip) || ip === registry.host || localAddresses(url).length > 0;
}

/** The state of the hosts.toml files. */
export interface SettingsOutcome {
  /** How many files have our block in its desired state. */
  readonly present: number;
  readonly findings: readonly Finding[];
}

/** What the configuration unit would change in the hosts.toml files now. Nothing is written. */
export async function settingsOutcome(
  hostsPaths: readonly string[],
  mirrors: ConfigurationSettings,
  source: VersionSource,
  signal: AbortSignal,
): Promise<SettingsOutcome> {
  try {
    const outcome = await dryRunMirrors(mirrors, hostsPaths, source, { signal });
    const present = filesInDesiredState(outcome).length;
    return { present, findings: outcomeFindings(outcome, `below ${hostsPaths.join(' and ')}`) };
  } catch (error) {
    if (signal.aborted || !(error instanceof SpegelError)) throw error;
    return { present: 0, findings: [advice('hosts', error.message)] };
  }
}

/**
 * The findings of a dry run: files that differ from the desired state, and files that are left
 * alone.
 */
function outcomeFindings({ changes, problems }: HostsOutcome, where: string): Finding[] {
  return [
    ...(changes.length === 0 ? [] : [changedFilesFinding(changes, where)]),
    ...problems.map(({ path, message }) => {
      const text = `expected our block in ${path}, got a file that is left alone: ${message}`;
      const isEdited = message.includes('# <<< spegel');
      const lines = isEdited ? blockRemovalLines(path) : [];
      return advice('left-alone', text, [...lines, RESTART], changedAt(path));
    }),
  ];
}

/**
 * The command that removes our block from a file. Only for a file that has both marks once and in
 * order: without the end mark, sed would delete all lines below, which are the administrator's.
 */
export function blockRemovalLines(path: string): string[] {
  const lines = linesOf(path);
  const numbersOf = (mark: string) =>
    lines.flatMap((line, index) => (line.includes(mark) ? [index + 1] : []));
  const [begins, ends] = [numbersOf('# >>> spegel'), numbersOf('# <<< spegel')];
  const [begin = 0, end = 0] = [begins[0], ends[0]];
  const isOne = begins.length === 1 && ends.length === 1 && begin < end;
  if (isOne) return [`sed -i '/# >>> spegel/,/# <<< spegel/d' ${path}`];
  const all = [...begins, ...ends].sort((a, b) => a - b);
  if (all.length === 0) return [];
  return [`# by hand, in ${path}: the marks of our block are in line ${all.join(', ')}`];
}

/** No lines for a file that cannot be read: another error reports it. */
function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return [];
  }
}

function changedFilesFinding(changes: HostsOutcome['changes'], where: string): Finding {
  const named = changes.slice(0, MAX_NAMED_FILES).map(({ path }) => path);
  const more =
    changes.length > MAX_NAMED_FILES ? `, and ${changes.length - MAX_NAMED_FILES} more` : '';
  const text = `expected the files ${where} to be as ${ENVIRONMENT_FILE} says, got others: ${named.join(', ')}${more}`;
  const times = changes.flatMap(({ path }) => changedAt(path) ?? []);
  return advice('hosts', text, [RESTART], times.sort().at(-1));
}
