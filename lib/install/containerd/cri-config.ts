import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { messageOf } from '../../base/errors.ts';
import type { ContainerdApi } from '../../containerd/api.ts';
import { pidOf } from '../../containerd/process.ts';
import { CONFIG_DUMP_TIMEOUT_MS, MAX_CONFIG_DUMP_BYTES } from './constants.ts';
import {
  type CriSettings,
  importsOfDump,
  settingsOfDump,
  settingsOfStatus,
} from './cri-settings.ts';
import { type StaleConfigFile, staleConfigFile } from './stale-config.ts';

const CONFIG_FILE = '/etc/containerd/config.toml';

/** What decides how containerd's CRI pulls, and where that is configured. */
export interface CriConfig {
  readonly settings: CriSettings;
  /** Whether the CRI plugin runs. */
  readonly isRunning: boolean;
  /** The configuration file that containerd was started with. */
  readonly file: string;
  /** The text of that file; empty where there is none. */
  readonly text: string;
  /** How the settings were learned, in words for a person. */
  readonly source: string;
  /**
   * A configuration file that was changed since containerd read it; undefined: none, or CRI itself
   * tells the settings.
   */
  readonly unread: StaleConfigFile | undefined;
}

/**
 * Reads the settings from CRI, or from containerd's files if CRI does not tell. Rejects where
 * neither does.
 */
export async function readCriConfig(
  api: ContainerdApi,
  { version, socket }: { readonly version: string; readonly socket: string },
  signal: AbortSignal,
): Promise<CriConfig> {
  const json = await api.criConfig(signal);
  const pid = await pidOf(api, socket, signal);
  const file = configFileOf(pid === undefined ? [] : commandLine(pid));
  const told = json === undefined ? undefined : settingsOfStatus(json);
  const source =
    told === undefined
      ? `as ${file} and its imports say: containerd ${version} does not tell what it runs with`
      : `as containerd ${version} runs`;
  const common = { isRunning: json !== undefined, file, text: readOrEmpty(file), source };
  if (told !== undefined) return { ...common, settings: told, unread: undefined };
  const dumped = await dumpConfig(pid, file, signal);
  const unread = pid === undefined ? undefined : staleConfigFile(pid, file, importsOfDump(dumped));
  return { ...common, settings: settingsOfDump(dumped), unread };
}

/**
 * Has containerd's own program read its files: it knows how imports are merged and old formats
 * migrated.
 */
function dumpConfig(pid: number | undefined, file: string, signal: AbortSignal): Promise<string> {
  const options = {
    timeout: CONFIG_DUMP_TIMEOUT_MS,
    signal,
    maxBuffer: MAX_CONFIG_DUMP_BYTES,
    env: { LC_ALL: 'C', PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
  };
  const program = pid === undefined ? 'containerd' : programOf(`/proc/${pid}/exe`);
  return new Promise((resolve, reject) => {
    execFile(program, ['--config', file, 'config', 'dump'], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(stderr.trim().split('\n').at(-1) || messageOf(error)));
    });
  });
}

/**
 * The program to call as containerd. k3s is one program that acts by its name, and its containerd
 * is a link to it: called by the path of a process, it would act as k3s.
 */
export function programOf(link: string): string {
  try {
    const target = readlinkSync(link);
    const called = join(dirname(target), 'containerd');
    return basename(target) !== 'containerd' && existsSync(called) ? called : link;
  } catch {
    return link;
  }
}

/** The arguments that a process was started with. */
function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(1);
  } catch {
    return [];
  }
}

/** The file that containerd's arguments name: `--config FILE`, `--config=FILE`, `-c FILE`. */
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
