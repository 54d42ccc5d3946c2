import type { Instruments } from './base/instruments.ts';
import type { Part } from './base/lifecycle.ts';
import type { Logger } from './base/log.ts';
import { createBootstrappers } from './bootstrap/create.ts';
import { ContainerdStore } from './containerd/store.ts';
import type { DaemonSettings } from './daemon-settings.ts';
import { registryEndpoints } from './hosts/registry-endpoints.ts';
import { HostCheck } from './http/host-check.ts';
import { OwnRegistry } from './http/own-registry.ts';
import { type Handler, HttpServer } from './http/server.ts';
import { type InflightTimes, Sharing } from './mirror/sharing.ts';
import { NetworkKeyRing } from './network-key/ring.ts';
import type { FilterSettings } from './oci/filters.ts';
import { type ContainerdProxySource, inRun, notedProxy } from './proxy/containerd-proxy.ts';
import { Registry, type RegistryParts } from './registry/registry.ts';
import { Libp2pRouter } from './routing/libp2p/router.ts';
import { OwnPeer } from './routing/transport/own-peer.ts';
import type { SettingsToCheck } from './settings-watch/settings-check.ts';
import { SettingsWatch } from './settings-watch/settings-watch.ts';
import { TriggerFile } from './settings-watch/trigger-file.ts';
import { OciLayoutStore } from './store/oci-layout-store.ts';
import type { ContentStore } from './store/store.ts';
import { DigestAssignment } from './tracker/assignment.ts';
import { progressOf } from './tracker/pull-progress.ts';
import { Tracker } from './tracker/tracker.ts';
import { TrackerClient } from './tracker/tracker-client.ts';
import { createUpstream, type Upstream } from './upstream/create.ts';

/** What every part gets. */
export interface CommonParts {
  readonly log: Logger;
  readonly instruments: Instruments;
}

/** Containerd's mirror settings, to be watched. */
export interface WatchedSettings {
  /** What is to be looked at now. Throws for settings that are wrong. */
  readonly settingsToCheck: () => SettingsToCheck;
  /** systemd waits for a file of the runtime directory, to put the settings back. */
  readonly hasSystemd: boolean;
}

/** The store, and the same once more where it is containerd's: only then are its pulls seen. */
export interface ChosenStore {
  readonly store: ContentStore & Part;
  readonly containerd: ContainerdStore | undefined;
}

export function createStore(
  settings: DaemonSettings,
  { stallMs, starvedStallMs }: InflightTimes,
  { log }: CommonParts,
): ChosenStore {
  const { store } = settings;
  const filters = filtersOf(settings);
  if (store.kind === 'oci-layout') {
    const layout = new OciLayoutStore({ log }, { path: store.path, filters });
    return { store: layout, containerd: undefined };
  }
  const ingest = { stallMs, starvedMs: starvedStallMs };
  const noted = notedProxy(settings.proxyEnvironment);
  const containerd = new ContainerdStore({ log }, { ...store, filters, ingest, notedProxy: noted });
  return { store: containerd, containerd };
}

const filtersOf = ({ mirroredRegistries, registryFilters }: DaemonSettings): FilterSettings => ({
  mirroredRegistries,
  registryFilters,
});

/** For a store that follows no containerd: what was seen of its proxy may be over. */
export function proxyOfEnvironment({ proxyEnvironment }: DaemonSettings): ContainerdProxySource {
  const noted = inRun(notedProxy(proxyEnvironment), '');
  return { containerdProxy: () => noted };
}

/** Undefined: the network is open. */
export function createNetworkKeys(
  { networkKeyFile }: DaemonSettings,
  { log }: CommonParts,
): NetworkKeyRing | undefined {
  return networkKeyFile === undefined ? undefined : new NetworkKeyRing({ log }, networkKeyFile);
}

export function createRouter(
  settings: DaemonSettings,
  parts: CommonParts & { readonly networkKeys: NetworkKeyRing | undefined },
): Libp2pRouter {
  const { version, dataDir, routerAddress, advertiseTtlMs, advertiseAddresses } = settings;
  const registryPort = settings.registryAddress.port;
  const self = new OwnPeer({ routerAddress, registryPort, advertiseAddresses });
  const { all, memory } = createBootstrappers(
    { log: parts.log, own: () => self.addresses() },
    { ...settings.bootstrap, dataDir, routerPort: routerAddress.port },
  );
  return new Libp2pRouter(
    { ...parts, self, bootstrappers: all, peerMemory: memory },
    { version, dataDir, routerAddress, registryPort, advertiseAddresses, advertiseTtlMs },
  );
}

/** In-flight sharing: what of it runs, and what a request to the fleet sees of it. */
export interface InflightSharing {
  readonly running: readonly Part[];
  readonly sharing: Sharing;
}

/** Has the router answer peers as a tracker; so it comes before the router's start. */
export function createInflight(
  settings: DaemonSettings,
  times: InflightTimes,
  parts: CommonParts & { readonly router: Libp2pRouter; readonly containerd: ContainerdStore },
): InflightSharing {
  const { log, containerd } = parts;
  const { protocol } = parts.router;
  const tracker = new Tracker({ protocol, newAssignment: () => new DigestAssignment() });
  protocol.answerWith(tracker.answer);
  const client = new TrackerClient(
    { log, tracker, protocol, progress: (digest, which) => progressOf(containerd, digest, which) },
    { ...settings, ...times },
  );
  const sharing = new Sharing(client, { ...settings, ...times });
  return { running: [tracker, client], sharing };
}

export function createUpstreamChecks(
  settings: DaemonSettings,
  parts: CommonParts & {
    readonly containerd: ContainerdStore | undefined;
    readonly proxy: ContainerdProxySource;
  },
): Upstream {
  const { registryConfigPaths, registryAddress } = settings;
  const own = new OwnRegistry(registryAddress);
  const endpointsOf = (registry: string) =>
    registryEndpoints(registryConfigPaths, registry, (url) => own.isAt(url));
  return createUpstream({ ...parts, endpointsOf, containerd: parts.containerd?.pulls }, settings);
}

export function createRegistry(
  settings: DaemonSettings,
  { starvedStallMs }: InflightTimes,
  parts: Omit<RegistryParts, 'peerId'> & { readonly router: Libp2pRouter },
): Registry {
  const { parallelFetch, mirrorClients } = settings;
  const { router } = parts;
  return new Registry(
    {
      ...parts,
      // The router knows its id once it has read its key, which is before the registry listens.
      get peerId() {
        return router.peerId;
      },
    },
    {
      filters: filtersOf(settings),
      parallelFetch,
      mirrorClients,
      standStillMs: starvedStallMs,
    },
  );
}

export interface Servers {
  readonly registryServer: HttpServer;
  readonly metricsServer: HttpServer;
}

export function createServers(
  { registryAddress, registryDescriptor, metricsAddress }: DaemonSettings,
  { log }: CommonParts,
  { registry, metricsPage }: { readonly registry: Registry; readonly metricsPage: Handler },
): Servers {
  const hostCheck = new HostCheck({ log });
  return {
    registryServer: new HttpServer(
      { handler: (...call) => registry.handle(...call), log, hostCheck },
      {
        address: registryAddress,
        descriptor: registryDescriptor,
        name: 'registry',
        option: '--registry-addr',
      },
    ),
    metricsServer: new HttpServer(
      { handler: metricsPage, log, hostCheck },
      { address: metricsAddress, name: 'metrics', option: '--metrics-addr' },
    ),
  };
}

export function createSettingsWatch(
  { settingsToCheck, hasSystemd }: WatchedSettings,
  { runtimeDir }: DaemonSettings,
  { log, instruments: { mirrorSettings: gauge } }: CommonParts,
): SettingsWatch {
  const repairs = hasSystemd ? new TriggerFile(runtimeDir, log) : undefined;
  return new SettingsWatch({ log, gauge, settingsToCheck, repairs });
}

/** Takes leave of the peers when it stops. */
export function createGoodbye(router: Libp2pRouter): Part {
  return { start: async () => {}, stop: () => router.leave() };
}
