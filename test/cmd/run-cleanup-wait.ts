import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { cleanupWaitCommand } from '../../cmd/cleanup-wait.ts';
import { runCommandLine } from '../../cmd/command-line.ts';

/** Options of a wait that ends sooner than with the defaults. */
export const FAST: readonly string[] = ['--period', '20ms'];

/**
 * Runs `spegel cleanup-wait` in this process. `events` brings its signals, and `onLine` gets what
 * it prints.
 */
export async function wait(
  args: readonly string[],
  {
    env = {},
    events = new EventEmitter(),
    onLine = () => {},
  }: {
    readonly env?: Readonly<Record<string, string>>;
    readonly events?: EventEmitter;
    readonly onLine?: (line: string) => void;
  } = {},
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(['cleanup-wait', ...args], [cleanupWaitCommand], {
    env,
    stdout: (line) => {
      stdout += line;
      onLine(line);
    },
    stderr: (line) => {
      stderr += line;
    },
    events,
    exit: () => {},
  });
  assert.deepEqual(events.eventNames(), [], 'no listener is left');
  return { status, stdout, stderr };
}
