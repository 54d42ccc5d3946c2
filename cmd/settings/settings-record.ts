import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomically } from '../../lib/base/atomic-file.ts';
import { codeOf } from '../../lib/base/errors.ts';
import { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import type { Environment } from '../options/option.ts';

/** RuntimeDirectory= of spegel-configuration.service: it exists while the unit is active. */
export const RECORD_DIRECTORY = '/run/spegel-configuration';
const RECORD_NAME = 'environment.json';
export const RECORD_PATH = join(RECORD_DIRECTORY, RECORD_NAME);
const LEFT_ALONE_NAME = 'left-alone.json';

/** Whether this process belongs to that unit. */
export function isConfigurationUnit({ RUNTIME_DIRECTORY: given }: Environment): boolean {
  return given === RECORD_DIRECTORY;
}

/** The variables that are options of `spegel configuration`. */
export function optionVariables(env: Environment): Environment {
  const names = Object.values(CONFIGURATION_OPTIONS).flatMap(({ env: name }) => name ?? []);
  const isOption = (name: string) => names.includes(name.replace(/^SPEGEL_/, ''));
  return Object.fromEntries(Object.entries(env).filter(([name]) => isOption(name)));
}

/**
 * Records a run of the unit. Its variables: spegel.env may have changed since, and a drop-in may
 * set others than those of spegel.service. What it learned of containerd: if containerd is silent
 * at the next check, the same variables would give other settings. The paths that it left alone: a
 * check cannot see that a file is immutable.
 */
export async function recordSettings(
  env: Environment,
  isContainerd2: boolean | undefined,
  leftAlone: readonly string[],
): Promise<void> {
  const learnt =
    isContainerd2 === undefined ? {} : { CONTAINERD_VERSION: isContainerd2 ? '2' : '1' };
  mkdirSync(RECORD_DIRECTORY, { recursive: true });
  writeFileSync(join(RECORD_DIRECTORY, LEFT_ALONE_NAME), JSON.stringify(leftAlone), {
    mode: 0o600,
  });
  const recorded = { ...learnt, ...optionVariables(env) };
  await writeFileAtomically(RECORD_PATH, `${JSON.stringify(recorded)}\n`);
}

/** The last run of an active unit. */
export interface RecordedRun {
  readonly env: Environment;
  /** Differs after each run. */
  readonly id: string;
  /** Absolute paths of files, or of a directory for everything in it. */
  readonly leftAlone: readonly string[];
}

/** The last run of the unit; undefined while it is not active. */
export function recordedRun(directory = RECORD_DIRECTORY): RecordedRun | undefined {
  const path = join(directory, RECORD_NAME);
  try {
    const { ino, ctimeMs } = statSync(path);
    const env = JSON.parse(readFileSync(path, 'utf8')) as Environment;
    return { env, id: `${ino}:${ctimeMs}`, leftAlone: readLeftAlone(directory) };
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/**
 * The run as `recordedRun` returns it; undefined without the right to read it. For the notes of a
 * command that anybody may run: whether it may write is found out where it writes.
 */
export function recordedRunIfReadable(directory = RECORD_DIRECTORY): RecordedRun | undefined {
  try {
    return recordedRun(directory);
  } catch (error) {
    if (codeOf(error) === 'EACCES') return undefined;
    throw error;
  }
}

/** An earlier release has not written the file. */
function readLeftAlone(directory: string): readonly string[] {
  try {
    return JSON.parse(readFileSync(join(directory, LEFT_ALONE_NAME), 'utf8')) as readonly string[];
  } catch {
    return [];
  }
}
