import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { messageOf } from '../base/errors.ts';
import { ContainerdApi } from '../containerd/api.ts';
import { ContainerdClient } from '../containerd/client.ts';
import { criFindings } from './cri-findings.ts';
import { type CriSettings, placesOf, settingsOfDump, settingsOfStatus } from './cri-settings.ts';
import { advice, type Finding, note, obstacle } from './finding.ts';
import { ENVIRONMENT_FILE } from './layout.ts';
import { listFindings, listToTake } from './list-findings.ts';

/** The oldest containerd that is tested. */
const OLDEST = [1, 6] as const;
/** From here on CRI pulls through the transfer service. */
const TRANSFER_SINCE = [2, 1] as const;
const CONFIG_FILE = '/etc/containerd/config.toml';
/** `config dump` loads files and prints them. */
const DUMP_TIMEOUT_MS = 10_000;

interface Host {
  readonly socket: string;
  readonly hostsPaths: readonly string[];
}

/** Asks containerd what it is and how it runs. Never rejects for what containerd does. */
export async function checkContainerd(host: Host, signal: AbortSignal): Promise<Finding[]> {
  const client = new ContainerdClient(host.socket);
  try {
    return await ask(new ContainerdApi(client), host, signal);
  } finally {
    client.close();
  }
}

async function ask(api: ContainerdApi, host: Host, signal: AbortSignal): Promise<Finding[]> {
  let version: string;
  try {
    version = await api.version(signal);
  } catch (error) {
    signal.throwIfAborted();
    const text = `expected containerd to answer at ${host.socket}, got: ${reasonOf(error)}; start it; one with another socket is told by --containerd-sock, or by CONTAINERD_SOCK=… in ${ENVIRONMENT_FILE}`;
    return [obstacle('containerd', text, ['systemctl start containerd'])];
  }
  if (!isAtLeast(version, OLDEST)) {
    const text = `expected containerd ${OLDEST.join('.')} or later, got ${version}; upgrade it`;
    return [obstacle('containerd', text)];
  }
  try {
    return await checkCri(api, version, host, signal);
  } catch (error) {
    signal.throwIfAborted();
    const text = `could not learn containerd's config_path (${messageOf(error)}): it is to be ${host.hostsPaths.join(':')}`;
    return [advice('config_path', text, ['containerd config dump | grep config_path'])];
  }
}

/** What the system said, without the words that gRPC puts around it. */
function reasonOf(error: unknown): string {
  const message = messageOf(error);
  return (
    /\bconnect E[A-Z]+ \S+/.exec(message)?.[0].replace(/\.$/, '') ?? message.replace(/^\d+ /, '')
  );
}

async function checkCri(
  api: ContainerdApi,
  version: string,
  { hostsPaths }: Host,
  signal: AbortSignal,
): Promise<Finding[]> {
  const json = await api.criConfig(signal);
  const pid = await api.pid(signal);
  const args = pid === undefined ? [] : commandLine(pid);
  const file = configFileOf(args);
  const told = json === undefined ? undefined : settingsOfStatus(json);
  const settings = told ?? (await dumped(pid, file, version, signal));
  const isOld = Object.keys(settings.mirrors).length + Object.keys(settings.tls).length > 0;
  // Old settings beside config_path are what keeps the plugin of a 1.x from running.
  if (json === undefined && !isOld) {
    const text = `containerd ${version} runs without its CRI plugin: the kubelet cannot use it; nerdctl asks the mirror by itself, ctr has to be told`;
    return [note('cri', text, [`ctr images pull --hosts-dir ${hostsPaths[0]} …`])];
  }
  const source =
    told === undefined
      ? `as ${file} and its imports say: containerd ${version} does not tell what it runs with`
      : `as containerd ${version} runs`;
  const places = placesOf(readOrEmpty(file), isAtLeast(version, [2, 0]) ? 3 : 2);
  if (places === undefined) throw new Error(`${file} is no TOML`);
  return [
    ...criFindings(settings, { file, places, hostsPaths, source }),
    ...listFindings(settings, hostsPaths, source),
  ];
}

/** The directories that containerd lists where Spegel is to take its list over. Never rejects for what containerd does. */
export async function listOfContainerd(
  { socket, hostsPaths }: Host,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  const client = new ContainerdClient(socket);
  try {
    const api = new ContainerdApi(client);
    const version = await api.version(signal);
    const json = await api.criConfig(signal);
    const pid = await api.pid(signal);
    const file = configFileOf(pid === undefined ? [] : commandLine(pid));
    const told = json === undefined ? undefined : settingsOfStatus(json);
    return listToTake(told ?? (await dumped(pid, file, version, signal)), hostsPaths);
  } catch {
    // What is wrong is said by the check.
    signal.throwIfAborted();
    return undefined;
  } finally {
    client.close();
  }
}

/** containerd's own program reads its files: how imports are merged and old formats migrated, it knows best. */
async function dumped(
  pid: number | undefined,
  file: string,
  version: string,
  signal: AbortSignal,
): Promise<CriSettings> {
  const program = pid === undefined ? 'containerd' : `/proc/${pid}/exe`;
  const options = {
    timeout: DUMP_TIMEOUT_MS,
    signal,
    maxBuffer: 16 * 1024 * 1024,
    env: { LC_ALL: 'C', PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
  };
  const text = await new Promise<string>((resolve, reject) => {
    execFile(program, ['--config', file, 'config', 'dump'], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(stderr.trim().split('\n').at(-1) || messageOf(error)));
    });
  });
  return settingsOfDump(text, isAtLeast(version, TRANSFER_SINCE));
}

/** The words a process was started with. */
function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(1);
  } catch {
    return [];
  }
}

/** The file that containerd's words name: `--config FILE`, `--config=FILE`, `-c FILE`. */
export function configFileOf(args: readonly string[]): string {
  for (const [index, word] of args.entries()) {
    const [, flag, value] = /^(--?c(?:onfig)?)(?:=(.*))?$/s.exec(word) ?? [];
    if (flag !== undefined) return value ?? args[index + 1] ?? CONFIG_FILE;
  }
  return CONFIG_FILE;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Whether a version such as `1.6.20~ds1` or `v2.1.0-rc.1` is that one or later; one that cannot be read is. */
export function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const match = /^v?(\d+)\.(\d+)/.exec(version);
  if (match === null) return true;
  const [a, b] = [Number(match[1]), Number(match[2])];
  return a > major || (a === major && b >= minor);
}
