import { messageOf } from '../../base/errors.ts';
import { ContainerdApi } from '../../containerd/api.ts';
import { ContainerdClient } from '../../containerd/client.ts';
import { advice, type Finding, note, obstacle } from '../system/finding.ts';
import { ENVIRONMENT_FILE, shortName } from '../system/layout.ts';
import { configPathListFindings } from './config-path-list.ts';
import { configSource } from './config-source.ts';
import { OLDEST_CONTAINERD } from './constants.ts';
import { type CriConfig, readCriConfig } from './cri-config.ts';
import { criFindings } from './cri-findings.ts';
import { criTablesOf } from './cri-settings.ts';
import type { FoundContainerd } from './find-containerd.ts';

/** From this version on CRI pulls through the transfer service. */
const TRANSFER_SINCE = [2, 1] as const;

interface Host {
  readonly containerd: FoundContainerd;
  readonly hostsPaths: readonly string[];
}

/**
 * Asks containerd for its version and its configuration. Never rejects for what containerd does.
 */
export async function checkContainerd(host: Host, signal: AbortSignal): Promise<Finding[]> {
  const client = new ContainerdClient(host.containerd.socket);
  try {
    return [
      ...severalContainerdNote(host.containerd),
      ...(await containerdFindings(new ContainerdApi(client), host, signal)),
    ];
  } finally {
    client.close();
  }
}

function severalContainerdNote({ socket, unit, others }: FoundContainerd): Finding[] {
  if (others.length === 0) return [];
  const text = `this host has several containerd: took that at ${socket} (${unit}); another one is chosen by --containerd-sock, or by CONTAINERD_SOCK=… in ${ENVIRONMENT_FILE}`;
  const lines = others.map((other) => `spegel install --containerd-sock ${other}`);
  return [note('several', text, lines)];
}

async function containerdFindings(
  api: ContainerdApi,
  host: Host,
  signal: AbortSignal,
): Promise<Finding[]> {
  const { socket, unit } = host.containerd;
  const name = shortName(unit);
  let version: string;
  try {
    version = await api.version(signal);
  } catch (error) {
    signal.throwIfAborted();
    const text = `expected containerd to answer at ${socket}, got: ${reasonOf(error)}; start it; one with another socket is told by --containerd-sock, or by CONTAINERD_SOCK=… in ${ENVIRONMENT_FILE}`;
    return [obstacle('containerd', text, [`systemctl start ${name}`])];
  }
  if (!isAtLeast(version, OLDEST_CONTAINERD)) {
    const text = `expected containerd ${OLDEST_CONTAINERD.join('.')} or later, got ${version}; upgrade it`;
    return [obstacle('containerd', text)];
  }
  try {
    return await checkCri(api, version, host, signal);
  } catch (error) {
    signal.throwIfAborted();
    const text = `could not learn containerd's config_path (${messageOf(error)}): it is to be ${host.hostsPaths.join(':')}`;
    return [advice('config_path', text, [`journalctl -u ${name} | grep -i config`])];
  }
}

/** The words of the system, without those that gRPC adds. */
function reasonOf(error: unknown): string {
  const message = messageOf(error);
  return (
    /\bconnect E[A-Z]+ \S+/.exec(message)?.[0].replace(/\.$/, '') ?? message.replace(/^\d+ /, '')
  );
}

async function checkCri(
  api: ContainerdApi,
  version: string,
  { containerd, hostsPaths }: Host,
  signal: AbortSignal,
): Promise<Finding[]> {
  const config = await readCriConfig(api, { version, socket: containerd.socket }, signal);
  const { settings, file, text, source } = config;
  const isOld = Object.keys(settings.mirrors).length + Object.keys(settings.tls).length > 0;
  // With old settings beside config_path the plugin of a 1.x does not run: then the findings below
  // tell why.
  if (!config.isRunning && !isOld) {
    const without = `containerd ${version} runs without its CRI plugin: the kubelet cannot use it; nerdctl asks the mirror by itself, ctr has to be told`;
    return [note('cri', without, [`ctr images pull --hosts-dir ${hostsPaths[0]} …`])];
  }
  const tables = criTablesOf(text, isAtLeast(version, [2, 0]) ? 3 : 2);
  if (tables === undefined) throw new Error(`${file} is no TOML`);
  const origin = configSource(file, text, containerd.distribution);
  const restart = `systemctl restart ${shortName(containerd.unit)}`;
  const hasTransfer = isAtLeast(version, TRANSFER_SINCE);
  const context = { file, tables, origin, hostsPaths, source, hasTransfer, restart };
  const wrong = criFindings(settings, context);
  const findings = [...wrong, ...staleConfigFindings(config, restart, wrong)];
  // A list that containerd should not have is not to be copied into the settings of Spegel.
  const isListFine = !findings.some(({ about }) => about === 'config_path');
  return isListFine
    ? [...findings, ...configPathListFindings(settings, hostsPaths, source)]
    : findings;
}

/**
 * containerd has not read its files since they were changed. A finding that changes them already
 * says to restart.
 */
function staleConfigFindings(
  { unread }: CriConfig,
  restart: string,
  others: readonly Finding[],
): Finding[] {
  if (unread === undefined || others.some(({ lines }) => lines.includes(restart))) return [];
  const text = `expected containerd to run with ${unread.path} as it is, got a file that was changed after it was started: it reads it at its start alone`;
  return [advice('stale-containerd', text, [restart], unread.since)];
}

/**
 * Whether a version such as `1.6.20~ds1` or `v2.1.0-rc.1` is at least this one. True for a version
 * that cannot be parsed.
 */
export function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const match = /^v?(\d+)\.(\d+)/.exec(version);
  if (match === null) return true;
  const [a, b] = [Number(match[1]), Number(match[2])];
  return a > major || (a === major && b >= minor);
}
