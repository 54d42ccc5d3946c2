import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { runCommandLine } from '../../cmd/command-line.ts';
import { keyCommand } from '../../cmd/key.ts';
import type { Command, Context } from '../../cmd/process/command.ts';
import { type DaemonModule, registryCommand } from '../../cmd/registry.ts';
import { versionCommand } from '../../cmd/version.ts';
import { SpegelError } from '../../lib/base/errors.ts';
import { type DaemonSettings, parseBootstrapPeer } from '../../lib/daemon.ts';

const root = join(import.meta.dirname, '../..');

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a script of this repository with no environment but `env`. */
export function start(script: string, args: readonly string[], env: Record<string, string> = {}) {
  // As the executable has it: node:ffi would warn on stderr.
  const flags = ['--disable-warning=ExperimentalWarning'];
  return spawn(process.execPath, [...flags, join(root, script), ...args], { env });
}

export async function finished(child: ReturnType<typeof start>): Promise<Outcome> {
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { status, stdout, stderr };
}

export function spegel(args: readonly string[], env?: Record<string, string>): Promise<Outcome> {
  return finished(start('cmd/main.ts', args, env));
}

/**
 * A registry command with a daemon that stops as soon as it was started, and the settings of that
 * daemon.
 */
export function fakeRegistry(): { command: Command; settings: DaemonSettings[] } {
  const settings: DaemonSettings[] = [];
  class Daemon {
    constructor(given: DaemonSettings) {
      settings.push(given);
    }
    start = () => Promise.reject(new SpegelError('ERR_LISTEN', 'the fake daemon never starts'));
    stop = () => Promise.resolve();
    ready = () => false;
    reload = () => {};
  }
  const module: DaemonModule = { Daemon, parseBootstrapPeer };
  return { command: registryCommand(() => Promise.resolve(module)), settings };
}

/**
 * Runs a command line in this process. `settings` are those that the daemon would be started with.
 */
export async function run(argv: readonly string[], env: Context['env'] = {}) {
  const { command, settings } = fakeRegistry();
  const output = { stdout: '', stderr: '' };
  const status = await runCommandLine(argv, [command, versionCommand, keyCommand], {
    env,
    stdout: (chunk) => {
      output.stdout += chunk;
    },
    stderr: (chunk) => {
      output.stderr += chunk;
    },
    events: { on: () => {}, off: () => {} },
    exit: () => {},
    columns: 100,
  });
  return { status, ...output, settings: settings[0] };
}

/** The settings with which `spegel registry <args>` would start the daemon. */
export async function settingsOf(
  args: readonly string[],
  env?: Context['env'],
): Promise<DaemonSettings> {
  const { settings, stderr } = await run(['registry', ...args], env);
  if (settings === undefined) throw new Error(stderr);
  return settings;
}
