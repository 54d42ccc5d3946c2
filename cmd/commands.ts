import { cleanupCommand } from './cleanup.ts';
import { cleanupWaitCommand } from './cleanup-wait.ts';
import { completionCommand } from './completion.ts';
import { configurationCommand } from './configuration.ts';
import { containerdProxyCommand } from './containerd-proxy.ts';
import { installCommand } from './install.ts';
import { keyCommand } from './key.ts';
import type { Command } from './process/command.ts';
import { registryCommand } from './registry.ts';
import { settingsLookCommand } from './settings-look.ts';
import { uninstallCommand } from './uninstall.ts';
import { versionCommand } from './version.ts';

/** All commands, in the order of the help text. */
export const COMMANDS: readonly Command[] = [
  registryCommand(() => import('../lib/daemon.ts')),
  configurationCommand,
  cleanupCommand,
  cleanupWaitCommand,
  installCommand,
  uninstallCommand,
  keyCommand,
  completionCommand,
  versionCommand,
  containerdProxyCommand,
  settingsLookCommand,
];
