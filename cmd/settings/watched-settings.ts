import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { isSea } from 'node:sea';
import { messageOf } from '../../lib/base/errors.ts';
import type { SettingsCheck, SettingsToCheck, WatchedSettings } from '../../lib/daemon.ts';
import { NERDCTL_PATHS } from '../../lib/hosts/search-path.ts';
import { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import type { Environment } from '../options/option.ts';
import { readOptions } from '../options/read-options.ts';
import { readServiceManager } from '../process/service-manager.ts';
import { CHECK_TIMEOUT_MS, MAX_CHECK_BYTES } from './constants.ts';
import { optionVariables, RECORD_PATH, recordedRun } from './settings-record.ts';

/** How a running `spegel registry` checks containerd's settings. */
export function watchedSettings(env: Environment): WatchedSettings {
  const hasSystemd =
    readServiceManager(env, process.pid) !== undefined && Boolean(env.RUNTIME_DIRECTORY);
  return { hasSystemd, settingsToCheck: () => settingsToCheck(env) };
}

function settingsToCheck(own: Environment): SettingsToCheck {
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
    // nerdctl reads these, too, and files there change the desired state of the others.
    roots: [...new Set([...roots, ...NERDCTL_PATHS])],
    files,
    run: last?.id,
    leftByRun: last?.leftAlone ?? [],
    check: (signal) => check(env, signal),
  };
}

/** Runs the check in another process of this executable, with the same settings. */
async function check(env: Environment, signal: AbortSignal): Promise<SettingsCheck> {
  const words = isSea() ? [] : process.argv.slice(1, 2);
  const options = {
    env: optionVariables(env),
    maxBuffer: MAX_CHECK_BYTES,
    signal,
    timeout: CHECK_TIMEOUT_MS,
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
  return JSON.parse(printed) as SettingsCheck;
}
