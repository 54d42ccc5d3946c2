#!/usr/bin/env node
import { writeFileSync } from 'node:fs';
import { isSea } from 'node:sea';
import { codeOf } from '../lib/base/errors.ts';
import { runCommandLine } from './command-line.ts';
import { COMMANDS } from './commands.ts';
import { startClean } from './process/clean-start.ts';
import { SERVICE_MANAGER_VARIABLES } from './process/service-manager.ts';

/**
 * The executable. It is bundled into one CommonJS file, which has no top-level await. Nothing but cmd/
 * touches the process: its arguments, its environment, its end.
 */

// Its libraries take a moment to load: a reload that comes meanwhile must not end the daemon.
if (process.argv[2] === 'registry') process.on('SIGHUP', () => {});

if (isSea()) {
  startClean(process);
  nameProcess();
}

// `spegel help | head` closes our stdout: no reason to fail, a full disk behind it is one.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') process.exit(1);
});
// A restarted journald or a full disk takes our log lines; the daemon must go on without them.
process.stderr.on('error', () => {});

// What we start must not report to systemd in our name.
const env = { ...process.env };
for (const name of SERVICE_MANAGER_VARIABLES) delete process.env[name];

void runCommandLine(process.argv.slice(2), COMMANDS, {
  env,
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  // When it is asked for: to open it would keep the process from its end.
  stdin: () => process.stdin,
  columns: process.stdout.columns,
  events: process,
  exit: (status) => process.exit(status),
}).then((status) => {
  process.exit(status);
});

/** Node calls itself node-MainThread; who looks for what has the port (ss, top, pgrep) is to see this program. */
function nameProcess(): void {
  try {
    // Not process.title, which takes the place of the arguments that ps shows.
    writeFileSync('/proc/self/comm', 'spegel');
  } catch {
    // Without /proc it goes by Node's name.
  }
}
