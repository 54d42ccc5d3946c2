import type { ListenAddress } from '../../lib/base/address.ts';
import { SpegelError } from '../../lib/base/errors.ts';
import type {
  BootstrapPeer,
  DaemonSettings,
  MirrorClients,
  StoreSettings,
} from '../../lib/daemon.ts';
import { RUNTIME_DIRECTORY } from '../../lib/port/port-note.ts';
import { NOTED_NAMES } from '../../lib/proxy/containerd-proxy.ts';
import type { Environment } from '../options/option.ts';
import { parsePattern } from '../options/patterns.ts';
import { REGISTRY_OPTIONS, type RegistryValues } from '../options/registry-options.ts';
import { overlaps, withoutWildcard } from '../options/values.ts';
import { VERSION } from '../process/build.ts';
import { readDescriptor } from '../process/service-manager.ts';
import { bootstrapSettings } from './bootstrap-settings.ts';

/** Throws SpegelError ERR_OPTION_VALUE for a text that names no peer. */
export type ParseBootstrapPeer = (text: string) => BootstrapPeer;

/** The options with the daemon's own parser for bootstrap peers. */
export function optionsWith(parseBootstrapPeer: ParseBootstrapPeer): typeof REGISTRY_OPTIONS {
  const { staticBootstrapPeers } = REGISTRY_OPTIONS;
  const parse = (texts: readonly string[]) => {
    const peers = staticBootstrapPeers.parse(texts);
    peers.forEach(parseBootstrapPeer);
    return peers;
  };
  return { ...REGISTRY_OPTIONS, staticBootstrapPeers: { ...staticBootstrapPeers, parse } };
}

/**
 * The daemon's settings, from values that `optionsWith` has parsed. Throws SpegelError ERR_USAGE
 * for values that contradict each other.
 */
export function daemonSettings(
  values: RegistryValues,
  parseBootstrapPeer: ParseBootstrapPeer,
  env: Environment,
): DaemonSettings {
  const peers = [...new Set(values.staticBootstrapPeers)].map(parseBootstrapPeer);
  const bootstrap = bootstrapSettings(values, peers);
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

/** A closed network mirrors for no client on another host, unless the administrator says so. */
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

/** systemd lists every runtime directory of the unit; ours is the first. */
function runtimeDirectory({ RUNTIME_DIRECTORY: given }: Environment): string {
  return given?.split(':')[0] || RUNTIME_DIRECTORY;
}

function proxyEnvironment(env: Environment): Record<string, string | undefined> {
  const names = NOTED_NAMES.filter((name) => name in env);
  return Object.fromEntries(names.map((name) => [name, env[name]]));
}
