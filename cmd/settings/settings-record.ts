import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomically } from '../../lib/base/atomic-file.ts';
import { codeOf } from '../../lib/base/errors.ts';
import { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import type { Environment } from '../options/option.ts';

/** RuntimeDirectory= of spegel-configuration.service: it exists while the unit is active. */
export const RECORD_DIRECTORY = '/run/spegel-configuration';
export const RECORD_PATH = join(RECORD_DIRECTORY, 'environment.json');
const LEFT_ALONE_PATH = join(RECORD_DIRECTORY, 'left-alone.json');

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
  writeFileSync(LEFT_ALONE_PATH, JSON.stringify(leftAlone), { mode: 0o600 });
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
export function recordedRun(): RecordedRun | undefined {
  try {
    const { ino, ctimeMs } = statSync(RECORD_PATH);
    const env = JSON.parse(readFileSync(RECORD_PATH, 'utf8')) as Environment;
    return { env, id: `${ino}:${ctimeMs}`, leftAlone: readLeftAlone() };
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** An earlier release has not written the file. */
function readLeftAlone(): readonly string[] {
  try {
    return JSON.parse(readFileSync(LEFT_ALONE_PATH, 'utf8')) as readonly string[];
  } catch {
    return [];
  }
}
