import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { entriesOf } from '../lib/base/environment-file.ts';
import { messageOf, SpegelError } from '../lib/base/errors.ts';
import { PROXY_NAMES } from '../lib/base/go-proxy.ts';
import { readNetworkKeys } from '../lib/base/network-key-file.ts';
import { changedAt } from '../lib/install/files.ts';
import { advice, type Finding, note, obstacle } from '../lib/install/finding.ts';
import { ENVIRONMENT_FILE } from '../lib/install/layout.ts';
import { unusedBootstrapOptions } from './bootstrap-settings.ts';
import { closeName } from './close-name.ts';
import { configurationSettings } from './configuration.ts';
import { CONFIGURATION_OPTIONS } from './hosts-options.ts';
import { type Environment, type OptionTable, readOptions, type ValuesOf } from './option.ts';
import { REGISTRY_OPTIONS } from './options.ts';
import { optionsWith, type RegistryValues, settingsOf } from './registry.ts';

type MirrorValues = ValuesOf<typeof CONFIGURATION_OPTIONS>;

export interface ServiceLook {
  /** A value that is wrong has its default here. */
  readonly host: RegistryValues;
  readonly mirrors: MirrorValues;
  /** What is wrong with the file. */
  readonly findings: readonly Finding[];
}

const CHANGED = 'systemctl restart spegel spegel-configuration';
/** Of systemd.exec(5): the services see neither. */
const HIDDEN = /^\/(?:home|root|run\/user)(?:\/|$)/;

/**
 * What an environment file says, read as both services read it, and all that keeps them from
 * running with it. `env` are its settings, `text` is what is written there.
 */
export async function lookAtSettings(env: Environment, text: string): Promise<ServiceLook> {
  const { parseBootstrapPeer } = await import('../lib/daemon.ts');
  const service = leniently(optionsWith(parseBootstrapPeer), env);
  const settings = leniently(CONFIGURATION_OPTIONS, env);
  const { values: host } = service;
  const wrong = [...new Set([...service.problems, ...settings.problems])];
  const findings = [
    ...wrong.map((message) => broken(message)),
    ...thrown(() => settingsOf(host, parseBootstrapPeer, env)),
    ...thrown(() => configurationSettings(settings.values)),
    ...(await keyFindings(host)),
    ...identityFindings(host),
    ...pathFindings(host),
    ...unusedBootstrapOptions(host).map((line) => note('settings', `${ENVIRONMENT_FILE}: ${line}`)),
    ...nameFindings(text),
  ];
  const since = changedAt(ENVIRONMENT_FILE);
  return {
    host,
    mirrors: settings.values,
    findings: findings.map((finding) => ({ ...finding, since: finding.since ?? since })),
  };
}

/** The values, with the default in place of one that is wrong, and what is wrong with that. */
function leniently<T extends OptionTable>(table: T, env: Environment) {
  const rest = { ...env };
  const problems: string[] = [];
  for (const [key, option] of Object.entries(table)) {
    try {
      readOptions({ [key]: option }, {}, env);
    } catch (error) {
      if (!(error instanceof SpegelError)) throw error;
      problems.push(error.message);
      for (const name of [option.env, `SPEGEL_${option.env}`]) delete rest[name ?? ''];
    }
  }
  return { values: readOptions(table, {}, rest), problems };
}

function broken(message: string): Finding {
  return obstacle('settings', `${ENVIRONMENT_FILE}: ${message}; correct it`, [CHANGED]);
}

function thrown(work: () => unknown): Finding[] {
  try {
    work();
    return [];
  } catch (error) {
    if (!(error instanceof SpegelError)) throw error;
    return [broken(error.message)];
  }
}

async function keyFindings({ networkKeyFile }: RegistryValues): Promise<Finding[]> {
  if (networkKeyFile === undefined) return [];
  try {
    await readNetworkKeys(networkKeyFile);
    return [];
  } catch (error) {
    const message = messageOf(error);
    const isOpen = message.includes(`chmod 600 ${networkKeyFile}`);
    const lines = [...(isOpen ? [`chmod 600 ${networkKeyFile}`] : []), 'systemctl restart spegel'];
    return [obstacle('network-key', message, lines)];
  }
}

/**
 * The identity of this host. A daemon does not start with one that others can read; without one it
 * makes one.
 */
function identityFindings({ dataDir }: RegistryValues): Finding[] {
  const path = join(dataDir, 'private.key');
  const stats = dataDir === '' ? undefined : statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || (stats.mode & 0o077) === 0) return [];
  const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
  const text = `identity key ${path}: expected a file of mode 0600, got mode ${mode}: no daemon starts with it`;
  return [obstacle('identity-key', text, [`chmod 600 ${path}`], stats.ctime.toISOString())];
}

/** Files that a service does not see, or that are not there. */
function pathFindings(host: RegistryValues): Finding[] {
  const paths = [
    ['NETWORK_KEY_FILE', host.networkKeyFile, false],
    ['STATIC_BOOTSTRAP_PEERS_FILE', host.staticBootstrapPeersFile, true],
    ['OCI_LAYOUT_PATH', host.ociLayoutPath, true],
    ['CONTAINERD_CONTENT_PATH', host.containerdContentPath, true],
    ['DATA_DIR', host.dataDir, false],
  ] as const;
  return paths.flatMap(([name, path, isToBeThere]) => {
    if (path === undefined || path === '') return [];
    if (HIDDEN.test(path)) {
      const text = `${ENVIRONMENT_FILE}: expected ${name} to name a path that the service sees, got ${path}: it sees neither /home nor /root`;
      return [(isToBeThere ? advice : obstacle)('settings', text, [CHANGED])];
    }
    if (!isToBeThere || existsSync(path)) return [];
    const text = `${ENVIRONMENT_FILE}: expected ${name} to name what is there, got ${path}`;
    return [advice('settings', text, [CHANGED])];
  });
}

/** Names that mean something to a service although no option has them. */
const OTHERS = [...PROXY_NAMES, ...PROXY_NAMES.map((name) => name.toLowerCase()), 'TZ'];

/** Settings that no service reads: a name that none knows, and a line that systemd passes over. */
function nameFindings(text: string): Finding[] {
  const tables: readonly OptionTable[] = [REGISTRY_OPTIONS, CONFIGURATION_OPTIONS];
  const names = tables.flatMap((table) => Object.values(table).flatMap(({ env }) => env ?? []));
  const known = new Set([...OTHERS, ...names, ...names.map((name) => `SPEGEL_${name}`)]);
  const entries = entriesOf(text);
  const unknown = new Set(entries.map(({ name }) => name).filter((name) => !known.has(name)));
  let rest = '';
  let at = 0;
  for (const { start, end } of entries) {
    rest += text.slice(at, start);
    at = end;
  }
  const passedOver = (rest + text.slice(at)).split(/\r\n?|\n/).filter(isLost);
  return [
    ...[...unknown].map((name) => unknownName(name, names)),
    ...passedOver.map((line) => {
      const got = JSON.stringify(line.trim().slice(0, 80));
      const said = `${ENVIRONMENT_FILE}: expected NAME=value, got ${got}, which systemd passes over`;
      return advice('settings', said, [CHANGED]);
    }),
  ];
}

const isLost = (line: string) => !/^\s*(?:[#;]|$)/.test(line);

function unknownName(name: string, names: readonly string[]): Finding {
  const close = closeName(name.toUpperCase(), names);
  const meant = close === undefined ? '' : `; ${close} is one`;
  const text = `${ENVIRONMENT_FILE}: expected names of options, got ${name}, which no service reads${meant}`;
  const start = `^\\([[:space:]]*\\)${name}[[:space:]]*=`;
  const mend =
    close === undefined
      ? `sed -i '/${start}/d' ${ENVIRONMENT_FILE}`
      : `sed -i 's/${start}/\\1${close}=/' ${ENVIRONMENT_FILE}`;
  return advice('settings', text, [mend, CHANGED]);
}
