import { globSync, readFileSync, statSync } from 'node:fs';
import { uptime } from 'node:os';
import { dirname, resolve } from 'node:path';
import { CLOCK_MARGIN_MS } from './constants.ts';

/** A file that was changed after the program had read it at its start. */
export interface StaleConfigFile {
  readonly path: string;
  /** When it was changed, ISO 8601. */
  readonly since: string;
}

/** USER_HZ is 100 wherever Node runs on Linux: proc_pid_stat(5). */
const TICK_MS = 10;

/**
 * The newest of containerd's files that was changed after process `pid` started. `file` is the main
 * file, `imports` are the patterns of its imports. Undefined: none was, or it cannot be told.
 */
export function staleConfigFile(
  pid: number,
  file: string,
  imports: readonly string[],
): StaleConfigFile | undefined {
  const startedMs = startOf(pid);
  if (startedMs === undefined) return undefined;
  const directory = dirname(file);
  const imported = globSync([...imports], { cwd: directory }).map((path) =>
    resolve(directory, path),
  );
  const times = [file, ...imported].map((path) => ({ path, ms: changedMs(path) }));
  const [newest] = times
    // If the clock was set back, times lie in the future and tell nothing.
    .filter(({ ms }) => ms > startedMs + CLOCK_MARGIN_MS && ms <= Date.now())
    .sort((a, b) => b.ms - a.ms);
  if (newest === undefined) return undefined;
  return { path: newest.path, since: new Date(newest.ms).toISOString() };
}

function changedMs(path: string): number {
  try {
    // Date.now() has no fractions: without rounding, a file of this millisecond would lie in the
    // future.
    return Math.floor(statSync(path).mtimeMs);
  } catch {
    return 0;
  }
}

/** When a process started, in milliseconds of the clock that files have; undefined: it is gone. */
function startOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, the name, may hold spaces and parentheses: fields are counted from behind
    // it.
    const ticks = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19]);
    const ms = Date.now() - (uptime() * 1_000 - ticks * TICK_MS);
    return Number.isFinite(ms) ? ms : undefined;
  } catch {
    return undefined;
  }
}
