import { Advertiser } from './advertise/advertiser.ts';
import { isLoopback } from './base/address.ts';
import type { Part } from './base/lifecycle.ts';
import type { Logger, LogLevel } from './base/log.ts';
import { NetworkKeyRing } from './base/network-key-ring.ts';
import { createBootstrappers } from './bootstrap/create.ts';
import type { BootstrapSettings } from './bootstrap/settings.ts';
import { ContainerdStore } from './containerd/store.ts';
import { upstreamUrls } from './hosts/upstream-urls.ts';
import { HttpServer } from './http/server.ts';
import { Metrics } from './metrics/metrics.ts';
import { type InflightTimes, inflightTimes } from './mirror/inflight-times.ts';
import { Mirror } from './mirror/mirror.ts';
import { Sharing } from './mirror/sharing.ts';
import { Upstream } from './mirror/upstream.ts';
import type { Digest } from './oci/digest.ts';
import type { FilterSettings } from './oci/filters.ts';
import type { MirrorClients } from './registry/clients.ts';
import { Registry } from './registry/registry.ts';
import { Libp2pRouter } from './routing/libp2p/router.ts';
import type { Answerer } from './routing/peer-protocol.ts';
import { OciLayoutStore } from './store/oci-layout.ts';
import type { ContentStore } from './store/store.ts';
import { DigestAssignment } from './tracker/assignment.ts';
import { HerdClient } from './tracker/client.ts';
import { progressOf } from './tracker/progress.ts';
import { Tracker } from './tracker/tracker.ts';

export { type BootstrapPeer, parseBootstrapPeer } from './bootstrap/peer.ts';
export type { BootstrapKind, BootstrapSettings } from './bootstrap/settings.ts';
export type { MirrorClients } from './registry/clients.ts';

/** An address to listen on, as Go writes it: `:5000` (all interfaces, both families), `127.0.0.1:5000`, `[::1]:5000`. */
export interface ListenAddress {
  /** Empty for all interfaces. */
  readonly host: string;
  readonly port: number;
}

export type StoreSettings =
  | {
      readonly kind: 'containerd';
      /** Path of containerd's gRPC socket. */
      readonly socket: string;
      /** Namespaces to share; `['*']` for all of them, also ones that appear later. */
      readonly namespaces: readonly string[];
      /** Root of the content store, or undefined: asked from containerd, else its default. */
      readonly contentPath: string | undefined;
    }
  | { readonly kind: 'oci-layout'; readonly path: string };

/** Everything the daemon is told, checked already; a wrong value cannot be here. Durations are milliseconds. */
export interface DaemonSettings {
  readonly version: string;
  readonly logLevel: LogLevel;
  readonly registryAddress: ListenAddress;
  readonly routerAddress: ListenAddress;
  readonly metricsAddress: ListenAddress;
  readonly store: StoreSettings;
  /** Directory of the identity key; empty: nothing is written to disk. */
  readonly dataDir: string;
  /** Registry hosts (`docker.io`, `10.0.0.1:5000`) that are mirrored; empty: all. */
  readonly mirroredRegistries: readonly string[];
  /** References and repositories that match one are neither looked up, shared nor served. */
  readonly registryFilters: readonly RegExp[];
  readonly resolveTimeoutMs: number;
  readonly resolveRetries: number;
  readonly bootstrap: BootstrapSettings;
  /** How long our records count at our peers. */
  readonly advertiseTtlMs: number;
  /** File of the keys that close the network; undefined: it is open to all. */
  readonly networkKeyFile: string | undefined;
  /** Clients on other hosts that are mirrored. */
  readonly mirrorClients: MirrorClients;
  /** IP addresses to announce instead of the default route's; empty: found out. */
  readonly advertiseAddresses: readonly string[];
  readonly tagSource: 'upstream' | 'peers';
  readonly parallelFetch: boolean;
  /** Layers are shared while they download. */
  readonly inflight: boolean;
  /** Longest wait for bytes of a layer that a peer is still downloading. */
  readonly inflightWaitMs: number;
  /** A peer slower than that many bytes per second is left. */
  readonly minSourceRate: number;
  /** containerd's certs.d: where else it asks for a registry; empty: only at the registry itself. */
  readonly registryConfigPath: string;
  /** The environment's proxy variables, for the probe whether an upstream registry answers. */
  readonly proxyEnvironment: Readonly<Record<string, string | undefined>>;
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
  readonly #isClosed: boolean;
  /** What is read anew when the administrator asks for it. */
  readonly #reloadables: readonly (() => void)[];
  #started: Part[] = [];

  constructor(settings: DaemonSettings, log: Logger) {
    const { resolveTimeoutMs, resolveRetries, tagSource, parallelFetch, mirrorClients } = settings;
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
    const herd = new HerdClient(
      {
        log,
        tracker,
        protocol: router.protocol,
        progress: async (digest) =>
          inflight === undefined ? { state: 'none' } : progressOf(inflight, digest),
      },
      { ...settings, ...times },
    );
    const onCorrupt = (digest: Digest) => {
      if (store instanceof ContainerdStore) store.discard(digest);
    };
    const mirror = new Mirror(
      {
        router,
        upstream: createUpstream(settings, log),
        log,
        instruments,
        onCorrupt,
        networkKeys,
        sharing: inflight && new Sharing(herd, { ...settings, ...times }),
      },
      { resolveTimeoutMs, resolveRetries, tagSource },
    );
    const registry = new Registry(
      {
        store,
        mirror,
        log,
        instruments,
        growing: inflight,
        networkKeys,
        // Known once the router has read its key, which is before the registry listens.
        get peerId() {
          return router.peerId;
        },
      },
      { filters, parallelFetch, mirrorClients, standStillMs: times.starvedStallMs },
    );
    const { registryServer, metricsServer } = createServers(settings, registry, metrics, log);
    const advertiser = new Advertiser({ store, router, instruments, log });
    this.#store = store;
    this.#log = log;
    this.#sharesInflight = inflight !== undefined;
    this.#isClosed = networkKeys !== undefined;
    this.#reloadables = [() => router.recheck(), () => void networkKeys?.reload()];
    // Peers are told of content last, when whoever comes for it finds the registry open, and of our end first.
    const sharing = inflight === undefined ? [] : [tracker, herd];
    const keys = networkKeys === undefined ? [] : [networkKeys];
    const serving = [router, ...sharing, registryServer, advertiser, goodbyeOf(router)];
    this.#parts = [...keys, metricsServer, store, ...serving];
  }

  /** Rejects with a SpegelError for what the administrator can mend; call `stop` then, too. */
  async start(signal: AbortSignal): Promise<void> {
    if (!this.#isClosed) this.#log.info(OPEN_NETWORK);
    for (const part of this.#parts) {
      signal.throwIfAborted();
      this.#started.push(part);
      await part.start(signal);
    }
    this.#log.info('started', { inflight: this.#sharesInflight });
  }

  /** Whether, once started, it also has what this host shares; it mirrors without. */
  ready(): boolean {
    return this.#store.ready();
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
  const growing = { stallMs, starvedMs: starvedStallMs };
  return new ContainerdStore({ log }, { ...store, filters, growing });
}

function createUpstream(settings: DaemonSettings, log: Logger): Upstream {
  const { registryConfigPath, registryAddress } = settings;
  const isOwn = ({ hostname, port }: URL) =>
    isLoopback(hostname.replace(/^\[|\]$/g, '')) && Number(port) === registryAddress.port;
  const urlsOf = (registry: string) => upstreamUrls(registryConfigPath, registry, isOwn);
  return new Upstream({ log, urlsOf }, settings);
}

function createServers(
  { registryAddress, metricsAddress }: DaemonSettings,
  registry: Registry,
  metrics: Metrics,
  log: Logger,
): { readonly registryServer: HttpServer; readonly metricsServer: HttpServer } {
  return {
    registryServer: new HttpServer(
      { handler: (...call) => registry.handle(...call), log },
      { address: registryAddress, name: 'registry', option: '--registry-addr' },
    ),
    metricsServer: new HttpServer(
      { handler: metrics.handle, log },
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
