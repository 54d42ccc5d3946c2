import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isLoopback } from '../../lib/base/address.ts';
import { messageOf, SpegelError } from '../../lib/base/errors.ts';
import type { ParsedPeersFile } from '../../lib/daemon.ts';
import { changedAt } from '../../lib/install/system/files.ts';
import {
  advice,
  type Finding,
  note,
  obstacle,
  shellWord,
} from '../../lib/install/system/finding.ts';
import { ENVIRONMENT_FILE } from '../../lib/install/system/layout.ts';
import { readNetworkKeys } from '../../lib/network-key/file.ts';
import { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import type { Environment, OptionTable, ValuesOf } from '../options/option.ts';
import { readOptions } from '../options/read-options.ts';
import type { RegistryValues } from '../options/registry-options.ts';
import { variablesOf } from '../options/variables.ts';
import { unusedBootstrapOptions } from '../settings/bootstrap-settings.ts';
import { configurationSettings } from '../settings/configuration-settings.ts';
import { daemonSettings, optionsWith } from '../settings/daemon-settings.ts';
import { CHANGED_SETTINGS, nameFindings } from './name-findings.ts';

type MirrorValues = ValuesOf<typeof CONFIGURATION_OPTIONS>;

export interface CheckedSettings {
  /** Wrong values are replaced by their defaults. */
  readonly serviceValues: RegistryValues;
  readonly mirrorValues: MirrorValues;
  /** What is wrong with the file. */
  readonly findings: readonly Finding[];
}

/** A finding names this many lines, which a person still reads. */
const MAX_LINES = 5;
/** systemd.exec(5): the services see none of these. */
const HIDDEN = /^\/(?:home|root|run\/user)(?:\/|$)/;

/**
 * Parses an environment file as both services do, and reports what keeps them from running with it.
 * `env` are the settings of the service, `text` is the text of the file, and `mirrorEnv` are the
 * settings of the configuration unit.
 */
export async function checkSettings(
  env: Environment,
  text: string,
  mirrorEnv: Environment = env,
): Promise<CheckedSettings> {
  const { parseBootstrapPeer, parsePeersFile } = await import('../../lib/daemon.ts');
  const service = readLeniently(optionsWith(parseBootstrapPeer), env);
  const settings = readLeniently(CONFIGURATION_OPTIONS, mirrorEnv);
  const { values: serviceValues } = service;
  const wrong = [...new Set([...service.problems, ...settings.problems])];
  const findings = [
    ...wrong.map((message) => wrongValue(message, text)),
    ...findingsOfError(() => daemonSettings(serviceValues, parseBootstrapPeer, env), text),
    ...findingsOfError(() => configurationSettings(settings.values), text),
    ...(await keyFindings(serviceValues)),
    ...identityFindings(serviceValues),
    ...pathFindings(serviceValues),
    ...peersFileFindings(serviceValues, parsePeersFile),
    ...reachFindings(serviceValues),
    ...unusedBootstrapOptions(serviceValues).map((line) =>
      note('settings', `${ENVIRONMENT_FILE}: ${line}`),
    ),
    ...nameFindings(text),
  ];
  const since = changedAt(ENVIRONMENT_FILE);
  return {
    serviceValues,
    mirrorValues: settings.values,
    // The time of another file is in its own finding.
    findings: findings.map((finding) =>
      finding.about === 'settings' ? { ...finding, since: finding.since ?? since } : finding,
    ),
  };
}

/** The values, with the default for each wrong one, and the messages about those. */
export function readLeniently<T extends OptionTable>(table: T, env: Environment) {
  const rest = { ...env };
  const problems: string[] = [];
  for (const [key, option] of Object.entries(table)) {
    try {
      readOptions({ [key]: option }, {}, env);
    } catch (error) {
      if (!(error instanceof SpegelError)) throw error;
      problems.push(error.message);
      for (const name of variablesOf(option.env ?? '')) delete rest[name];
    }
  }
  return { values: readOptions(table, {}, rest), problems };
}

/** Names the place of a wrong value: a drop-in of the unit may set options, too. */
function wrongValue(message: string, text: string): Finding {
  const [, name] = /^(?:SPEGEL_)?([A-Z_]+): /.exec(message) ?? [];
  const isHere = name === undefined || new RegExp(`^\\s*(?:SPEGEL_)?${name}\\s*=`, 'm').test(text);
  if (isHere) {
    return obstacle('settings', `${ENVIRONMENT_FILE}: ${message}; correct it`, [CHANGED_SETTINGS]);
  }
  const drop = "Environment= of a unit, see 'systemctl cat spegel spegel-configuration'";
  const lines = ['systemctl daemon-reload', CHANGED_SETTINGS];
  return obstacle('settings', `${drop}: ${message}; correct it there`, lines);
}

function findingsOfError(work: () => unknown, text: string): Finding[] {
  try {
    work();
    return [];
  } catch (error) {
    if (!(error instanceof SpegelError)) throw error;
    return [wrongValue(error.message, text)];
  }
}

async function keyFindings({ networkKeyFile }: RegistryValues): Promise<Finding[]> {
  if (networkKeyFile === undefined) return [];
  try {
    await readNetworkKeys(networkKeyFile);
    return [];
  } catch (error) {
    const message = messageOf(error);
    const isReadableByOthers = message.includes(`chmod 600 ${networkKeyFile}`);
    const mend = isReadableByOthers ? [`chmod 600 ${networkKeyFile}`] : newKeyLines(networkKeyFile);
    const since = statOf(networkKeyFile)?.ctime.toISOString();
    return [obstacle('network-key', message, [...mend, 'systemctl restart spegel'], since)];
  }
}

/** Two hosts with different keys never connect: only the first host makes a new key. */
function newKeyLines(path: string): string[] {
  return [
    `# where another host has the key: copy it to ${path}, mode 0600; on the first one make it:`,
    `spegel key new --network-key-file=${shellWord(path)}`,
  ];
}

function statOf(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    // A part of the path is a file, or may not be searched: the reader of the path reports it.
    return undefined;
  }
}

/**
 * Reports an identity key that others can read: no daemon starts with it. Without a key, the daemon
 * makes one.
 */
function identityFindings({ dataDir }: RegistryValues): Finding[] {
  const path = join(dataDir, 'private.key');
  const stats = dataDir === '' ? undefined : statOf(path);
  if (stats === undefined || (stats.mode & 0o077) === 0) return [];
  const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
  const text = `identity key ${path}: expected a file of mode 0600, got mode ${mode}: no daemon starts with it`;
  return [obstacle('identity-key', text, [`chmod 600 ${path}`], stats.ctime.toISOString())];
}

/** Files that are missing, or that a service does not see. */
function pathFindings(values: RegistryValues): Finding[] {
  const paths = [
    ['NETWORK_KEY_FILE', values.networkKeyFile, false],
    ['STATIC_BOOTSTRAP_PEERS_FILE', values.staticBootstrapPeersFile, true],
    ['OCI_LAYOUT_PATH', values.ociLayoutPath, true],
    ['CONTAINERD_CONTENT_PATH', values.containerdContentPath, true],
    ['DATA_DIR', values.dataDir, false],
  ] as const;
  return paths.flatMap(([name, path, isToBeThere]) => {
    if (path === undefined || path === '') return [];
    if (HIDDEN.test(path)) {
      const text = `${ENVIRONMENT_FILE}: expected ${name} to name a path that the service sees, got ${path}: it sees neither /home nor /root`;
      return [(isToBeThere ? advice : obstacle)('settings', text, [CHANGED_SETTINGS])];
    }
    if (!isToBeThere || existsSync(path)) return [];
    const text = `${ENVIRONMENT_FILE}: expected ${name} to name what is there, got ${path}`;
    const isPeers = name === 'STATIC_BOOTSTRAP_PEERS_FILE';
    return [isPeers ? missingPeersFile(path, text) : advice('settings', text, [CHANGED_SETTINGS])];
  });
}

/** The daemon looks for the file every second: no restart is needed. */
function missingPeersFile(path: string, text: string): Finding {
  const mend = `# write ${path}, one peer a line, such as 10.0.0.1:5001`;
  return advice('settings', `${text}; it counts as soon as it is there`, [mend]);
}

/** Lines that the daemon skips. It takes them as soon as they are right. */
function peersFileFindings(
  { bootstrapKind, staticBootstrapPeersFile: path }: RegistryValues,
  parsePeersFile: (text: string) => ParsedPeersFile,
): Finding[] {
  if (path === undefined || !bootstrapKind.includes('static')) return [];
  const stats = statOf(path);
  if (stats?.isFile() !== true) return [];
  const { wrong } = parsePeersFile(readFileSync(path, 'utf8'));
  const [first, ...more] = wrong;
  if (first === undefined) return [];
  const others = more.map(({ line }) => line).slice(0, MAX_LINES);
  const rest =
    others.length === 0
      ? ''
      : `; so are lines ${others.join(', ')}${more.length > MAX_LINES ? ' …' : ''}`;
  const text = `${path}: line ${first.line} is skipped: ${first.error}${rest}`;
  const mend = `# correct it in ${path}: it counts at once`;
  return [advice('peers-file', text, [mend], stats.mtime.toISOString())];
}

/**
 * Reports addresses that peers get and cannot reach. A host that is meant to be alone has loopback
 * addresses for both.
 */
function reachFindings(values: RegistryValues): Finding[] {
  const listeners = [
    ['REGISTRY_ADDR', '--registry-addr', values.registryAddr],
    ['ROUTER_ADDR', '--router-addr', values.routerAddr],
  ] as const;
  const onLoopback = listeners.filter(([, , address]) => isLoopback(address.host));
  if (onLoopback.length === listeners.length && hasNoPeers(values)) return [];
  return onLoopback.map(([name, flag, { host: ip, port }]) => {
    const text = `${ENVIRONMENT_FILE}: expected ${name} to be an address that peers reach, got loopback address ${ip}: no peer can get anything from this host`;
    return advice(
      'loopback',
      text,
      [`spegel install ${flag}=:${port}`],
      changedAt(ENVIRONMENT_FILE),
    );
  });
}

function hasNoPeers(values: RegistryValues): boolean {
  const { bootstrapKind, staticBootstrapPeers, staticBootstrapPeersFile } = values;
  const isStatic = bootstrapKind.every((kind) => kind === 'static');
  return isStatic && staticBootstrapPeers.length === 0 && staticBootstrapPeersFile === undefined;
}
