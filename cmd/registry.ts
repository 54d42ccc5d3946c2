import { existsSync } from 'node:fs';
import { isLoopback } from '../lib/base/address.ts';
import { createLogger, type Logger } from '../lib/base/log.ts';
import type { DaemonSettings, WatchedSettings } from '../lib/daemon.ts';
import { type ServicePart, SystemdService } from '../lib/systemd/systemd-service.ts';
import { readOptions } from './options/read-options.ts';
import { REGISTRY_OPTIONS } from './options/registry-options.ts';
import type { Command } from './process/command.ts';
import { runDaemon } from './process/run-daemon.ts';
import { readServiceManager } from './process/service-manager.ts';
import { surviveSocketErrors } from './process/uncaught.ts';
import { unusedBootstrapOptions } from './settings/bootstrap-settings.ts';
import {
  daemonSettings,
  optionsWith,
  type ParseBootstrapPeer,
} from './settings/daemon-settings.ts';
import { unnamedKeyFile } from './settings/unnamed-key-file.ts';
import { watchedSettings } from './settings/watched-settings.ts';

/** A part that can read its lists and files again. */
export interface Reloading {
  reload(): void;
}

/** What this command needs of lib/daemon.ts. */
export interface DaemonModule {
  readonly Daemon: new (
    settings: DaemonSettings,
    log: Logger,
    watched?: WatchedSettings,
  ) => ServicePart & Reloading;
  readonly parseBootstrapPeer: ParseBootstrapPeer;
}

/**
 * `load` imports the daemon with all its libraries. It is called only to run the daemon, so that
 * help and version stay fast.
 */
export function registryCommand(load: () => Promise<DaemonModule>): Command {
  return {
    name: 'registry',
    summary: 'serve and mirror image content, until SIGTERM',
    options: REGISTRY_OPTIONS,
    isLogging: true,
    async run(given, context) {
      const { Daemon, parseBootstrapPeer } = await load();
      const manager = readServiceManager(context.env, process.pid);
      const options = readOptions(optionsWith(parseBootstrapPeer), given, context.env);
      const keyFile = manager && unnamedKeyFile(context.env);
      const values = { ...options, networkKeyFile: options.networkKeyFile ?? keyFile };
      const settings = daemonSettings(values, parseBootstrapPeer, context.env);
      const log = createLogger(values.logLevel, context.stderr);
      if (values.networkKeyFile !== options.networkKeyFile) {
        log.warn('no setting names the key file of this host, which closes the network', {
          path: keyFile,
          advice: 'spegel install puts it into /etc/spegel/spegel.env',
        });
      }
      if (values.resolveLatestTag !== undefined) {
        log.warn("--resolve-latest-tag is deprecated, use --registry-filters ':latest$'");
      }
      if (isLoopback(settings.registryAddress.host) && !isLoopback(settings.routerAddress.host)) {
        log.warn('--registry-addr is a loopback address: no peer can get anything from this host');
      }
      if (existsSync(GO_BASIC_AUTH)) {
        log.warn(`${GO_BASIC_AUTH} is there, but this registry asks nobody for a password`);
      }
      if (settings.networkKeyFile !== undefined && settings.mirrorClients === 'any') {
        log.warn(
          '--mirror-clients any: whoever reaches the registry gets what the closed network has',
        );
      }
      for (const line of unusedBootstrapOptions(values)) log.warn(line);
      for (const line of context.unknownVariables) log.warn(line);
      surviveSocketErrors(context, log);
      const daemon = new Daemon(settings, log, watchedSettings(context.env));
      const part =
        manager === undefined ? daemon : new SystemdService({ part: daemon, log }, manager);
      return runDaemon(part, log, context.events, () => daemon.reload());
    },
  };
}

/** The file with the password of Go Spegel's registry. */
const GO_BASIC_AUTH = '/etc/secrets/basic-auth/password';
