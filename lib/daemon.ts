import { Advertiser } from './advertise/advertiser.ts';
import { DataDirectoryLock } from './base/data-directory-lock.ts';
import type { Instruments } from './base/instruments.ts';
import type { Part } from './base/lifecycle.ts';
import type { Logger } from './base/log.ts';
import { MemoryTrim } from './base/memory-trim.ts';
import { createBootstrappers } from './bootstrap/create.ts';
import { ContainerdStore } from './containerd/store.ts';
import type { DaemonSettings } from './daemon-settings.ts';
import { peersPage } from './debug/peers.ts';
import { registryEndpoints } from './hosts/registry-endpoints.ts';
import { HostCheck } from './http/host-check.ts';
import { OwnRegistry } from './http/own-registry.ts';
import { type Handler, HttpServer } from './http/server.ts';
import { Metrics } from './metrics/metrics.ts';
import { type InflightTimes, inflightTimes } from './mirror/inflight-times.ts';
import { Mirror } from './mirror/mirror.ts';
import { Sharing } from './mirror/sharing.ts';
import { NetworkKeyRing } from './network-key/ring.ts';
import type { FilterSettings } from './oci/filters.ts';
import { PortNoteFile } from './port/port-note.ts';
import { type ContainerdProxySource, inRun, notedProxy } from './proxy/containerd-proxy.ts';
import { Registry } from './registry/registry.ts';
import { Libp2pRouter } from './routing/libp2p/router.ts';
import type { Answerer } from './routing/peer-protocol.ts';
import type { SettingsToCheck } from './settings-watch/settings-check.ts';
import { SettingsWatch } from './settings-watch/settings-watch.ts';
import { TriggerFile } from './settings-watch/trigger-file.ts';
import { OciLayoutStore } from './store/oci-layout-store.ts';
import type { ContentStore } from './store/store.ts';
import { DigestAssignment } from './tracker/assignment.ts';
import { progressOf } from './tracker/progress.ts';
import { Tracker } from './tracker/tracker.ts';
import { TrackerClient } from './tracker/tracker-client.ts';
import { createUpstream, type Upstream } from './upstream/create.ts';

export { type BootstrapPeer, parseBootstrapPeer } from './bootstrap/peer.ts';
export { type ParsedPeersFile, parsePeersFile } from './bootstrap/peers-file.ts';
export type { BootstrapKind, BootstrapSettings } from './bootstrap/settings.ts';
export type { DaemonSettings, StoreSettings } from './daemon-settings.ts';
export type { MirrorClients } from './registry/clients.ts';
export type { SettingsCheck, SettingsToCheck } from './settings-watch/settings-check.ts';

/** Containerd's mirror settings, to be watched. */
export interface WatchedSettings {
  /** What is to be looked at now. Throws for settings that are wrong. */
  readonly settingsToCheck: () => SettingsToCheck;
  /** systemd waits for a file of the runtime directory, to put the settings back. */
  readonly hasSystemd: boolean;
}

/**
 * The composition root: builds the parts, starts them in order, stops them in reverse. What a part needs it
 * gets here; nothing is global, so that several daemons can live in one process.
 */
export class Daemon implements Part {
  readonly #parts: readonly Part[];
  readonly #store: ContentStore;
  readonly #log: Logger;
  readonly #sharesInflight: boolean;
  readonly #proxy: ContainerdProxySource;
  readonly #isClosed: boolean;
  /** What is read anew when the administrator asks for it. */
  readonly #reloadables: readonly (() => void)[];
  #started: Part[] = [];

  /** `watched`: undefined where nobody wants to know how containerd's settings are. */
  constructor(settings: DaemonSettings, log: Logger, watched?: WatchedSettings) {
    const { resolveTimeoutMs, resolveRetries, parallelFetch, mirrorClients } = settings;
    const metrics = new Metrics();
    const { instruments } = metrics;
    const filters = {
      mirroredRegistries: settings.mirroredRegistries,
      registryFilters: settings.registryFilters,
    };
    const { networkKeyFile } = settings;
    const networkKeys =
      networkKeyFile === undefined ? undefined : new NetworkKeyRing({ log }, networkKeyFile);
    const times = inflightTimes(settings.inflightWaitMs);
    const store = createStore(settings, filters, times, log);
    const inflight = settings.inflight && store instanceof ContainerdStore ? store : undefined;
    const tracker = new Tracker({
      protocol: { providers: (digest) => router.protocol.providers(digest) },
      newAssignment: () => new DigestAssignment(),
    });
    const router = createRouter(settings, metrics, log, inflight && tracker.answer, networkKeys);
    const herd = new TrackerClient(
      {
        log,
        tracker,
        protocol: router.protocol,
        progress: async (digest) =>
          inflight === undefined ? { state: 'none' } : progressOf(inflight, digest),
      },
      { ...settings, ...times },
    );
    this.#proxy = proxySource(settings, store);
    const { check, tagDecider } = watchUpstream(settings, store, this.#proxy, instruments, log);
    const mirror = new Mirror(
      {
        router,
        upstream: check,
        log,
        instruments,
        judge: store instanceof ContainerdStore ? store.judge : undefined,
        networkKeys,
        sharing: inflight && new Sharing(herd, { ...settings, ...times }),
      },
      { resolveTimeoutMs, resolveRetries, dataDir: settings.dataDir },
    );
    const registry = new Registry(
      {
        store,
        mirror,
        tagDecider,
        log,
        instruments,
        inflight,
        networkKeys,
        isOtherUser: (socket) => registryServer.isOtherUser(socket),
        onProven: (socket) => registryServer.markProven(socket),
        // Known once the router has read its key, which is before the registry listens.
        get peerId() {
          return router.peerId;
        },
      },
      { filters, parallelFetch, mirrorClients, standStillMs: times.starvedStallMs },
    );
    const { registryServer, metricsServer } = createServers(
      settings,
      registry,
      peersPage({ router, next: metrics.handle }),
      log,
    );
    const portFile = new PortNoteFile(
      { log, registry: registryServer, router },
      { directory: settings.runtimeDir, host: settings.registryAddress.host },
    );
    const advertiser = new Advertiser({ store, router, instruments, log });
    this.#store = store;
    this.#log = log;
    this.#sharesInflight = inflight !== undefined;
    this.#isClosed = networkKeys !== undefined;
    this.#reloadables = [() => router.recheck(), () => void networkKeys?.reload()];
    // Peers are told of content last, when whoever comes for it finds the registry open, and of our end first.
    const sharing = inflight === undefined ? [] : [tracker, herd];
    const keys = networkKeys === undefined ? [] : [networkKeys];
    const serving = [
      router,
      ...sharing,
      mirror,
      registryServer,
      portFile,
      advertiser,
      goodbyeOf(router),
    ];
    const watch = watched === undefined ? [] : [watchOf(watched, settings, instruments, log)];
    const lock = new DataDirectoryLock({ log }, settings.dataDir);
    this.#parts = [lock, new MemoryTrim(), ...keys, metricsServer, store, ...watch, ...serving];
  }

  /** Rejects with a SpegelError for what the administrator can mend; call `stop` then, too. */
  async start(signal: AbortSignal): Promise<void> {
    if (!this.#isClosed) this.#log.info(OPEN_NETWORK);
    for (const part of this.#parts) {
      signal.throwIfAborted();
      this.#started.push(part);
      await part.start(signal);
    }
    const { description: proxy } = this.#proxy.containerdProxy();
    this.#log.info('started', { inflight: this.#sharesInflight, proxy });
  }

  /** Whether, once started, it also has what this host shares; it mirrors without. */
  ready(): boolean {
    return this.#store.isReady();
  }

  /** Reads lists that may have changed anew; running transfers notice nothing. */
  reload(): void {
    if (this.#started.length === 0) return;
    for (const reload of this.#reloadables) reload();
  }

  async stop(): Promise<void> {
    const started = this.#started.reverse();
    this.#started = [];
    for (const part of started) await part.stop();
  }
}

function watchOf(
  { settingsToCheck, hasSystemd }: WatchedSettings,
  { runtimeDir }: DaemonSettings,
  { mirrorSettings: gauge }: Instruments,
  log: Logger,
): SettingsWatch {
  const repairs = hasSystemd ? new TriggerFile(runtimeDir, log) : undefined;
  return new SettingsWatch({ log, gauge, settingsToCheck, repairs });
}

const OPEN_NETWORK = 'open network: every host that reaches the ports can take part';

function createStore(
  settings: DaemonSettings,
  filters: FilterSettings,
  { stallMs, starvedStallMs }: InflightTimes,
  log: Logger,
): ContainerdStore | OciLayoutStore {
  const { store } = settings;
  if (store.kind === 'oci-layout')
    return new OciLayoutStore({ log }, { path: store.path, filters });
  const ingest = { stallMs, starvedMs: starvedStallMs };
  const noted = notedProxy(settings.proxyEnvironment);
  return new ContainerdStore({ log }, { ...store, filters, ingest, notedProxy: noted });
}

/** A store of another kind follows no containerd: what was seen of it may be over. */
function proxySource(
  { proxyEnvironment }: DaemonSettings,
  store: ContainerdStore | OciLayoutStore,
): ContainerdProxySource {
  if (store instanceof ContainerdStore) return store;
  const noted = inRun(notedProxy(proxyEnvironment), '');
  return { containerdProxy: () => noted };
}

function watchUpstream(
  settings: DaemonSettings,
  store: ContainerdStore | OciLayoutStore,
  proxy: ContainerdProxySource,
  instruments: Instruments,
  log: Logger,
): Upstream {
  const { registryConfigPaths, registryAddress } = settings;
  const own = new OwnRegistry(registryAddress);
  const endpointsOf = (registry: string) =>
    registryEndpoints(registryConfigPaths, registry, (url) => own.isAt(url));
  const containerd = store instanceof ContainerdStore ? store.pulls : undefined;
  const parts = { log, instruments, endpointsOf, containerd, proxy };
  return createUpstream(parts, settings);
}

function createServers(
  { registryAddress, registryDescriptor, metricsAddress }: DaemonSettings,
  registry: Registry,
  metricsHandler: Handler,
  log: Logger,
): { readonly registryServer: HttpServer; readonly metricsServer: HttpServer } {
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
      { handler: metricsHandler, log, hostCheck },
      { address: metricsAddress, name: 'metrics', option: '--metrics-addr' },
    ),
  };
}

/** Takes leave of the peers: the first part that stops. */
function goodbyeOf(router: Libp2pRouter): Part {
  return { start: async () => {}, stop: () => router.leave() };
}

function createRouter(
  settings: DaemonSettings,
  { instruments }: Metrics,
  log: Logger,
  answer: Answerer | undefined,
  networkKeys: NetworkKeyRing | undefined,
): Libp2pRouter {
  const { port } = settings.routerAddress;
  const { all, memory } = createBootstrappers(
    { log, own: () => router.addresses() },
    { ...settings.bootstrap, dataDir: settings.dataDir, routerPort: port },
  );
  const router = new Libp2pRouter(
    { log, instruments, bootstrappers: all, peerMemory: memory, answer, networkKeys },
    {
      version: settings.version,
      dataDir: settings.dataDir,
      routerAddress: settings.routerAddress,
      registryPort: settings.registryAddress.port,
      advertiseAddresses: settings.advertiseAddresses,
      advertiseTtlMs: settings.advertiseTtlMs,
    },
  );
  return router;
}
