import { Advertiser } from './advertise/advertiser.ts';
import { DataDirectoryLock } from './base/data-directory-lock.ts';
import type { Part } from './base/lifecycle.ts';
import type { Logger } from './base/log.ts';
import { MemoryTrim } from './base/memory-trim.ts';
import {
  type CommonParts,
  createGoodbye,
  createInflight,
  createNetworkKeys,
  createRegistry,
  createRouter,
  createServers,
  createSettingsWatch,
  createStore,
  createUpstreamChecks,
  proxyOfEnvironment,
  type WatchedSettings,
} from './daemon-parts.ts';
import type { DaemonSettings } from './daemon-settings.ts';
import { peersPage } from './debug/peers.ts';
import { Metrics } from './metrics/metrics.ts';
import { Mirror } from './mirror/mirror.ts';
import { inflightTimes } from './mirror/sharing.ts';
import { PortNoteFile } from './port/port-note.ts';
import type { ContainerdProxySource } from './proxy/containerd-proxy.ts';
import type { ContentStore } from './store/store.ts';

export { type BootstrapPeer, parseBootstrapPeer } from './bootstrap/peer.ts';
export { type ParsedPeersFile, parsePeersFile } from './bootstrap/peers-file.ts';
export type { BootstrapKind, BootstrapSettings } from './bootstrap/settings.ts';
export type { WatchedSettings } from './daemon-parts.ts';
export type { DaemonSettings, StoreSettings } from './daemon-settings.ts';
export type { MirrorClients } from './registry/clients.ts';
export type { SettingsCheck, SettingsToCheck } from './settings-watch/settings-check.ts';

const OPEN_NETWORK = 'open network: every host that reaches the ports can take part';

/**
 * The composition root: builds the parts, starts them in order, stops them in reverse. A part gets
 * here all that it needs. Nothing is global, so that several daemons can live in one process.
 */
export class Daemon implements Part {
  readonly #parts: readonly Part[];
  readonly #store: ContentStore;
  readonly #log: Logger;
  readonly #sharesInflight: boolean;
  readonly #proxy: ContainerdProxySource;
  readonly #isClosed: boolean;
  /** Lists that `reload` reads anew. */
  readonly #reloadables: readonly (() => void)[];
  #started: Part[] = [];

  /** `watched`: undefined where nothing is to watch over containerd's mirror settings. */
  constructor(settings: DaemonSettings, log: Logger, watched?: WatchedSettings) {
    const metrics = new Metrics();
    const common: CommonParts = { log, instruments: metrics.instruments };
    const times = inflightTimes(settings.inflightWaitMs);
    const networkKeys = createNetworkKeys(settings, common);
    const { store, containerd } = createStore(settings, times, common);
    const proxy = containerd ?? proxyOfEnvironment(settings);
    const upstream = createUpstreamChecks(settings, { ...common, containerd, proxy });
    const router = createRouter(settings, { ...common, networkKeys });
    const shared = settings.inflight ? containerd : undefined;
    const inflight =
      shared && createInflight(settings, times, { ...common, router, containerd: shared });
    const mirror = new Mirror(
      {
        ...common,
        router,
        networkKeys,
        upstream: upstream.check,
        judge: containerd?.judge,
        sharing: inflight?.sharing,
      },
      settings,
    );
    const { tagDecider } = upstream;
    const served = { store, mirror, tagDecider, inflight: shared, networkKeys, router };
    const registry = createRegistry(settings, times, { ...common, ...served });
    const metricsPage = peersPage({
      router,
      held: () => [...mirror.held(), ...router.held()],
      next: metrics.handle,
    });
    const servers = createServers(settings, common, { registry, metricsPage });
    const { registryServer, metricsServer } = servers;
    const portNote = new PortNoteFile(
      { log, registry: registryServer, router },
      { directory: settings.runtimeDir, host: settings.registryAddress.host },
    );
    const advertiser = new Advertiser({ ...common, store, router });
    const lock = new DataDirectoryLock({ log }, settings.dataDir);
    const watch = watched && createSettingsWatch(watched, settings, common);
    this.#store = store;
    this.#log = log;
    this.#sharesInflight = inflight !== undefined;
    this.#proxy = proxy;
    this.#isClosed = networkKeys !== undefined;
    this.#reloadables = [() => router.recheck(), () => void networkKeys?.reload()];
    const first = [lock, new MemoryTrim(), networkKeys, metricsServer, store, watch];
    const sharing = inflight?.running ?? [];
    // Peers hear of content last, when the registry is open to them, and first that it closes.
    const last = [registryServer, portNote, advertiser, createGoodbye(router)];
    const parts = [...first, router, ...sharing, mirror, ...last];
    this.#parts = parts.filter((part) => part !== undefined);
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
