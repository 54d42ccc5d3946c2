import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '../../lib/base/errors.ts';
import { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import type { Environment } from '../options/option.ts';

/** RuntimeDirectory= of spegel-configuration.service: it is there as long as the unit is active. */
export const RECORD_DIRECTORY = '/run/spegel-configuration';
const NAME = 'environment.json';
export const RECORD_PATH = join(RECORD_DIRECTORY, NAME);
const LEFT_ALONE_PATH = join(RECORD_DIRECTORY, 'left-alone.json');

/** Whether this process is one of that unit's: what it leaves is what the unit wants. */
export function isConfigurationUnit({ RUNTIME_DIRECTORY: given }: Environment): boolean {
  return given === RECORD_DIRECTORY;
}

/** Of all variables those that are options of `spegel configuration`. */
export function optionVariables(env: Environment): Environment {
  const names = Object.values(CONFIGURATION_OPTIONS).flatMap(({ env: name }) => name ?? []);
  const isOption = (name: string) => names.includes(name.replace(/^SPEGEL_/, ''));
  return Object.fromEntries(Object.entries(env).filter(([name]) => isOption(name)));
}

/**
 * Writes down that the unit has run, and with which variables: spegel.env may have been changed
 * since, and a drop-in may set others than those of spegel.service. So does what it has learnt of
 * containerd: one that is silent at the next look would make other settings of the same variables.
 * And so do the paths that it has left alone: a look cannot see that a file is immutable.
 */
export function recordSettings(
  env: Environment,
  isContainerd2: boolean | undefined,
  leftAlone: readonly string[],
): void {
  const learnt =
    isContainerd2 === undefined ? {} : { CONTAINERD_VERSION: isContainerd2 ? '2' : '1' };
  mkdirSync(RECORD_DIRECTORY, { recursive: true });
  writeFileSync(LEFT_ALONE_PATH, JSON.stringify(leftAlone), { mode: 0o600 });
  const next = join(RECORD_DIRECTORY, `next-${NAME}`);
  writeFileSync(next, `${JSON.stringify({ ...learnt, ...optionVariables(env) })}\n`, {
    mode: 0o600,
  });
  renameSync(next, RECORD_PATH);
}

/** What a unit that is active has run with. */
export interface RecordedRun {
  readonly env: Environment;
  /** Another text after each run. */
  readonly id: string;
  /** Absolute paths: of files, or of a directory with all of its own. */
  readonly leftAlone: readonly string[];
}

/** The last run of the unit that has written settings; undefined while it is not active. */
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

/** None where a former release has run. */
function readLeftAlone(): readonly string[] {
  try {
    return JSON.parse(readFileSync(LEFT_ALONE_PATH, 'utf8')) as readonly string[];
  } catch {
    return [];
  }
}
