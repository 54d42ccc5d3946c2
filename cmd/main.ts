#!/usr/bin/env node
import { writeFileSync } from 'node:fs';
import { isSea } from 'node:sea';
import { codeOf } from '../lib/base/errors.ts';
import { runCommandLine } from './command-line.ts';
import { COMMANDS } from './commands.ts';
import { startClean } from './process/clean-start.ts';
import { SERVICE_MANAGER_VARIABLES } from './process/service-manager.ts';

/**
 * The executable. It is bundled into one CommonJS file, which has no top-level await. Only cmd/
 * uses the process: its arguments, its environment, its end.
 */

// A SIGHUP while the libraries load must not end the daemon.
if (process.argv[2] === 'registry') process.on('SIGHUP', () => {});

if (isSea()) {
  startClean(process);
  nameProcess();
}

// `spegel help | head` closes our stdout, which is no failure. A full disk behind it is one.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') process.exit(1);
});
// A restarted journald or a full disk takes no log lines; the daemon must go on without them.
process.stderr.on('error', () => {});

// A program that we start must not report to systemd in our name.
const env = { ...process.env };
for (const name of SERVICE_MANAGER_VARIABLES) delete process.env[name];

void runCommandLine(process.argv.slice(2), COMMANDS, {
  env,
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  // Opened only when it is read: an open standard input would keep the process from ending.
  stdin: () => process.stdin,
  columns: process.stdout.columns,
  events: process,
  exit: (status) => process.exit(status),
}).then((status) => {
  process.exit(status);
});

/**
 * Node names its process node-MainThread. Programs that show the owner of a port (ss, top, pgrep)
 * have to show this one's name.
 */
function nameProcess(): void {
  try {
    // Not process.title: it overwrites the arguments that ps shows.
    writeFileSync('/proc/self/comm', 'spegel');
  } catch {
    // Without /proc the process keeps Node's name.
  }
}
