import { existsSync } from 'node:fs';
import { isLoopback, type ListenAddress } from '../lib/base/address.ts';
import { SpegelError } from '../lib/base/errors.ts';
import { createLogger, type Logger } from '../lib/base/log.ts';
import type {
  BootstrapPeer,
  DaemonSettings,
  MirrorClients,
  StoreSettings,
  WatchedSettings,
} from '../lib/daemon.ts';
import { RUNTIME_DIRECTORY } from '../lib/port/port-note.ts';
import { NOTED_NAMES } from '../lib/proxy/containerd-proxy.ts';
import { type ServicePart, SystemdService } from '../lib/systemd/systemd-service.ts';
import { bootstrapSettings, unusedBootstrapOptions } from './bootstrap-settings.ts';
import type { Command } from './command.ts';
import { keptKeyFile } from './kept-key.ts';
import { type Environment, readOptions, type ValuesOf } from './option.ts';
import { REGISTRY_OPTIONS } from './options.ts';
import { parsePattern } from './patterns.ts';
import { runDaemon } from './run-daemon.ts';
import { readDescriptor, readServiceManager } from './service-manager.ts';
import { surviveSocketErrors } from './uncaught.ts';
import { overlaps, withoutWildcard } from './values.ts';
import { VERSION } from './version.ts';
import { watchedSettings } from './watched-settings.ts';

export type RegistryValues = ValuesOf<typeof REGISTRY_OPTIONS>;

/** A part that can be told to look at its lists and files again. */
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
  /** Throws SpegelError ERR_OPTION_VALUE for a text that names no peer. */
  readonly parseBootstrapPeer: (text: string) => BootstrapPeer;
}

/** `load` brings the daemon with all its libraries: only when it is to run, so that help and version are fast. */
export function registryCommand(load: () => Promise<DaemonModule>): Command {
  return {
    name: 'registry',
    summary: 'serve and mirror image content, until SIGTERM',
    options: REGISTRY_OPTIONS,
    isLogging: true,
    async run(given, context) {
      const { Daemon, parseBootstrapPeer } = await load();
      const manager = readServiceManager(context.env, process.pid);
      const said = readOptions(optionsWith(parseBootstrapPeer), given, context.env);
      const kept = manager && keptKeyFile(context.env);
      const values = { ...said, networkKeyFile: said.networkKeyFile ?? kept };
      const settings = settingsOf(values, parseBootstrapPeer, context.env);
      const log = createLogger(values.logLevel, context.stderr);
      if (values.networkKeyFile !== said.networkKeyFile) {
        log.warn('no setting names the key file of this host, which closes the network', {
          path: kept,
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
      for (const line of context.unknownVariables ?? []) log.warn(line);
      surviveSocketErrors(context, log);
      const daemon = new Daemon(settings, log, watchedSettings(context.env));
      const part =
        manager === undefined ? daemon : new SystemdService({ part: daemon, log }, manager);
      return runDaemon(part, log, context.events, () => daemon.reload());
    },
  };
}

/** Where Go Spegel's registry finds the password that it asks for. */
const GO_BASIC_AUTH = '/etc/secrets/basic-auth/password';

/** The options, with bootstrap peers checked by the daemon's own parser. */
export function optionsWith(
  parseBootstrapPeer: DaemonModule['parseBootstrapPeer'],
): typeof REGISTRY_OPTIONS {
  const { staticBootstrapPeers } = REGISTRY_OPTIONS;
  const parse = (texts: readonly string[]) => {
    const peers = staticBootstrapPeers.parse(texts);
    peers.forEach(parseBootstrapPeer);
    return peers;
  };
  return { ...REGISTRY_OPTIONS, staticBootstrapPeers: { ...staticBootstrapPeers, parse } };
}

/**
 * The daemon's settings of the options' values, as `optionsWith` parses them. Throws as
 * `daemonSettings`.
 */
export function settingsOf(
  values: RegistryValues,
  parseBootstrapPeer: DaemonModule['parseBootstrapPeer'],
  env: Environment,
): DaemonSettings {
  const peers = [...new Set(values.staticBootstrapPeers)].map(parseBootstrapPeer);
  return daemonSettings(values, peers, env);
}

/** The daemon's settings of the options' values. Throws a usage error for values that do not go together. */
export function daemonSettings(
  values: RegistryValues,
  staticBootstrapPeers: readonly BootstrapPeer[],
  env: Environment,
): DaemonSettings {
  const bootstrap = bootstrapSettings(values, staticBootstrapPeers);
  checkAddresses(values, bootstrap.httpAddress);
  const latest = values.resolveLatestTag === false ? [parsePattern(':latest$')] : [];
  return {
    version: VERSION,
    logLevel: values.logLevel,
    registryAddress: values.registryAddr,
    registryDescriptor: readDescriptor(env, process.pid),
    routerAddress: values.routerAddr,
    metricsAddress: values.metricsAddr,
    store: storeSettings(values),
    runtimeDir: runtimeDirectory(env),
    dataDir: values.dataDir,
    mirroredRegistries: withoutWildcard(values.mirroredRegistries),
    registryFilters: [...values.registryFilters, ...latest],
    resolveTimeoutMs: values.mirrorResolveTimeout,
    resolveRetries: values.mirrorResolveRetries,
    bootstrap,
    advertiseTtlMs: values.advertiseTtl,
    networkKeyFile: values.networkKeyFile,
    mirrorClients: mirrorClients(values),
    advertiseAddresses: [...new Set(values.advertiseAddress)],
    tagSource: values.tagSource,
    registryConfigPaths: values.containerdRegistryConfigPath,
    parallelFetch: values.parallelFetch,
    inflight: values.inflight,
    inflightWaitMs: values.inflightWait,
    minSourceRate: values.minSourceRate,
    proxyEnvironment: proxyEnvironment(env),
  };
}

/** In a closed network nobody elsewhere is mirrored unless the administrator says so. */
function mirrorClients({ mirrorClients: given, networkKeyFile }: RegistryValues): MirrorClients {
  const [word] = given.filter((one) => typeof one === 'string');
  const subnets = given.filter((one) => typeof one !== 'string');
  if (word === undefined && subnets.length > 0) return subnets;
  if (given.some((one) => one !== word)) {
    throw new SpegelError(
      'ERR_USAGE',
      `--mirror-clients: expected any, host or addresses, got ${word} beside something else`,
    );
  }
  return word ?? (networkKeyFile === undefined ? 'any' : 'host');
}

function storeSettings(values: RegistryValues): StoreSettings {
  const { contentStore, ociLayoutPath, containerdNamespace } = values;
  if (contentStore === 'oci-layout') {
    if (ociLayoutPath !== undefined) return { kind: 'oci-layout', path: ociLayoutPath };
    throw new SpegelError(
      'ERR_USAGE',
      '--content-store oci-layout: expected --oci-layout-path with the directory to serve, got none',
    );
  }
  if (ociLayoutPath !== undefined) {
    throw new SpegelError(
      'ERR_USAGE',
      '--oci-layout-path: expected --content-store oci-layout beside it, got containerd',
    );
  }
  return {
    kind: 'containerd',
    socket: values.containerdSock,
    namespaces: containerdNamespace.includes('*') ? ['*'] : [...new Set(containerdNamespace)],
    contentPath: values.containerdContentPath,
  };
}

function checkAddresses(
  { registryAddr, routerAddr, metricsAddr }: RegistryValues,
  httpBootstrap: ListenAddress | undefined,
): void {
  const addresses: [string, ListenAddress][] = [
    ['--registry-addr', registryAddr],
    ['--router-addr', routerAddr],
    ['--metrics-addr', metricsAddr],
  ];
  if (httpBootstrap !== undefined) addresses.push(['--http-bootstrap-addr', httpBootstrap]);
  for (const [index, [flag, address]] of addresses.entries()) {
    const other = addresses.slice(index + 1).find(([, later]) => overlaps(address, later));
    if (other === undefined) continue;
    throw new SpegelError(
      'ERR_USAGE',
      `${flag} and ${other[0]}: expected two ports, got ${address.port} for both`,
    );
  }
}

/** Of systemd, which lists all that the unit names. */
function runtimeDirectory({ RUNTIME_DIRECTORY: given }: Environment): string {
  return given?.split(':')[0] || RUNTIME_DIRECTORY;
}

function proxyEnvironment(env: Environment): Record<string, string | undefined> {
  const names = NOTED_NAMES.filter((name) => name in env);
  return Object.fromEntries(names.map((name) => [name, env[name]]));
}
