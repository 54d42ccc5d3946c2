import { statSync } from 'node:fs';
import { type ContainerdProxy, notedProxy } from '../../proxy/containerd-proxy.ts';
import { hasPassword, PROXY_NAMES, type Variables, withoutPassword } from '../../proxy/go-proxy.ts';
import { advice, type Finding, note } from '../system/finding.ts';
import { ENVIRONMENT_FILE } from '../system/layout.ts';
import { changesAtRestart, type FoundProxy, knownProxy } from './find-proxy.ts';

const RESTART = 'systemctl restart spegel';

/** The lines of the environment file for a proxy. That there is none is not written down. */
export function proxyNote(found: FoundProxy | undefined): Variables {
  return (found && knownProxy(found)?.environment) ?? {};
}

/**
 * What to say of containerd's proxy. `installed`: the settings of the environment file; undefined:
 * the file is new and gets the proxy. `found` is undefined if containerd does not answer, which
 * another check reports.
 */
export function proxyAdvice(
  found: FoundProxy | undefined,
  installed: Variables | undefined,
): Finding[] {
  if (found === undefined) return [];
  const proxy = knownProxy(found);
  const noted = notedProxy(installed ?? proxyNote(found));
  return [
    ...(proxy === undefined ? unknownNotes(noted) : noteFindings(proxy, noted, installed)),
    ...restartNotes(found),
    ...(installed === undefined ? [] : modeFindings(installed)),
  ];
}

function noteFindings(
  proxy: ContainerdProxy,
  noted: ContainerdProxy,
  installed: Variables | undefined,
): Finding[] {
  if (installed === undefined) {
    if (proxy.isNone) return [];
    const text = `containerd has the proxy ${proxy.description}: noted in ${ENVIRONMENT_FILE}, so that Spegel asks registries by the same way`;
    return [note('proxy', text)];
  }
  if (isSame(proxy, noted)) return [];
  const got = noted.description === 'unknown' ? 'none' : noted.description;
  const text = `expected ${ENVIRONMENT_FILE} to note the proxy of containerd, ${proxy.description}, got ${got}; write into it`;
  return [advice('proxy', text, [...linesOf(proxy), RESTART])];
}

function unknownNotes(noted: ContainerdProxy): Finding[] {
  if (noted.description !== 'unknown') return [];
  const text = `could not learn which proxy containerd has; if it has one, write it into ${ENVIRONMENT_FILE}`;
  return [note('proxy', text, [...PROXY_NAMES.map((name) => `${name}=…`), RESTART])];
}

/**
 * The file names the proxy that runs. The unit has another one for the next start, unless the
 * program that it starts sets a proxy by itself.
 */
function restartNotes(found: FoundProxy): Finding[] {
  const { running, unit } = found;
  if (running === undefined || unit === undefined || !changesAtRestart(found)) return [];
  const text = `containerd runs with the proxy ${running.description}, and ${unit.name} gives it ${unit.proxy.description}: that may come with its next start, see then`;
  return [
    note('proxy-restart', text, [`systemctl restart ${unit.name}`, 'spegel install --check']),
  ];
}

/** The administrator may have written the password into a file that everybody can read. */
function modeFindings(installed: Variables): Finding[] {
  const mode = (statSync(ENVIRONMENT_FILE, { throwIfNoEntry: false })?.mode ?? 0) & 0o777;
  if (!hasPassword(installed) || (mode & 0o007) === 0) return [];
  const text = `expected ${ENVIRONMENT_FILE} to be for root alone, since a proxy's password is in it, got mode ${mode.toString(8)}`;
  return [advice('environment-mode', text, [`chmod 600 ${ENVIRONMENT_FILE}`])];
}

function isSame(a: ContainerdProxy, b: ContainerdProxy): boolean {
  return PROXY_NAMES.every((name) => a.environment[name] === b.environment[name]);
}

/** Findings end up in logs: a password must not be in them. */
function linesOf({ environment }: ContainerdProxy): string[] {
  const isSecret = hasPassword(environment);
  const lines = PROXY_NAMES.map((name) => {
    const value = environment[name] ?? '';
    return `${name}=${name !== 'NO_PROXY' && value.includes('@') ? withoutPassword(value) : value}`;
  });
  if (!isSecret) return lines;
  const hint = '# with the password that containerd has, in place of ***';
  return [hint, ...lines, `chmod 600 ${ENVIRONMENT_FILE}`];
}
