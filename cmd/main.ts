#!/usr/bin/env node
import { codeOf } from '../lib/base/errors.ts';
import { cleanupCommand } from './cleanup.ts';
import { cleanupWaitCommand } from './cleanup-wait.ts';
import { runCommandLine } from './command-line.ts';
import { configurationCommand } from './configuration.ts';
import { registryCommand } from './registry.ts';
import { versionCommand } from './version.ts';

/**
 * The executable. It is bundled into one CommonJS file, which has no top-level await. Nothing but cmd/
 * touches the process: its arguments, its environment, its end.
 */

// `spegel help | head` closes our stdout: no reason to fail, a full disk behind it is one.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') process.exit(1);
});
// A restarted journald or a full disk takes our log lines; the daemon must go on without them.
process.stderr.on('error', () => {});

void runCommandLine(
  process.argv.slice(2),
  [
    registryCommand(() => import('../lib/daemon.ts')),
    configurationCommand,
    cleanupCommand,
    cleanupWaitCommand,
    versionCommand,
  ],
  {
    env: process.env,
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    columns: process.stdout.columns,
    events: process,
    exit: (status) => process.exit(status),
  },
).then((status) => {
  process.exit(status);
});
