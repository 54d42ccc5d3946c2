import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { isSea } from 'node:sea';
import { messageOf } from '../lib/base/errors.ts';
import type { Look, Subject, WatchedSettings } from '../lib/daemon.ts';
import { NERDCTL_PATHS } from '../lib/hosts/search-path.ts';
import { CONFIGURATION_OPTIONS } from './hosts-options.ts';
import { type Environment, readOptions } from './option.ts';
import { readServiceManager } from './service-manager.ts';
import { optionVariables, RECORD_PATH, recordedRun } from './settings-record.ts';

/**
 * It takes a fifth of a second; what is left of that is a host under load, or a disk that hangs.
 */
const LOOK_TIMEOUT_MS = 20_000;
/** A path and a message for each of some thousand registries. */
const MAX_LOOK_BYTES = 4 * 1024 * 1024;

/** How a running `spegel registry` looks at containerd's settings. */
export function watchedSettings(env: Environment): WatchedSettings {
  const hasSystemd =
    readServiceManager(env, process.pid) !== undefined && Boolean(env.RUNTIME_DIRECTORY);
  return { hasSystemd, subject: () => subjectOf(env) };
}

function subjectOf(own: Environment): Subject {
  const last = recordedRun();
  const env = last?.env ?? own;
  const { containerdRegistryConfigPath: roots, basicAuthPath } = readOptions(
    {
      containerdRegistryConfigPath: CONFIGURATION_OPTIONS.containerdRegistryConfigPath,
      basicAuthPath: CONFIGURATION_OPTIONS.basicAuthPath,
    },
    {},
    env,
  );
  const secrets = ['username', 'password'].map((name) => join(basicAuthPath, name));
  const files = [RECORD_PATH, ...(basicAuthPath === '' ? [] : secrets)];
  return {
    // nerdctl reads its own too, and what comes there changes what is to be in the others.
    roots: [...new Set([...roots, ...NERDCTL_PATHS])],
    files,
    run: last?.id,
    leftByRun: last?.leftAlone ?? [],
    look: (signal) => look(env, signal),
  };
}

/** Asks another process of this executable, with the same settings. */
async function look(env: Environment, signal: AbortSignal): Promise<Look> {
  const words = isSea() ? [] : process.argv.slice(1, 2);
  const options = {
    env: optionVariables(env),
    maxBuffer: MAX_LOOK_BYTES,
    signal,
    timeout: LOOK_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  } as const;
  const printed = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, [...words, 'settings-look'], options, (error, stdout, stderr) => {
      if (error !== null) {
        const said = stderr
          .trim()
          .split('\n')
          .at(-1)
          ?.replace(/^spegel: /, '');
        return reject(new Error(said || messageOf(error), { cause: error }));
      }
      resolve(stdout);
    });
  });
  return JSON.parse(printed) as Look;
}
