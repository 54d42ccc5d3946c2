import type { Libp2p } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import type { Instruments } from '../../base/instruments.ts';
import type { Logger } from '../../base/log.ts';
import type { Bootstrapper, PeerMemory } from '../../bootstrap/bootstrapper.ts';
import type { NetworkKeys } from '../../network-key/network-key.ts';
import { RULES } from '../../peers/constants.ts';
import type { Held } from '../../peers/held.ts';
import { Strikes } from '../../peers/strikes.ts';
import { PEERS_TOLD } from '../constants.ts';
import { DhtClient } from '../dht/client.ts';
import { AdaptiveTimeout } from '../dht/find-providers.ts';
import { LookupCache } from '../dht/lookup-cache.ts';
import { ProvideService } from '../dht/provide-service.ts';
import type { ProviderStore } from '../dht/provider-store.ts';
import { ProvidersClient } from '../dht/providers-client.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';
import { AddressWatch } from '../membership/address-watch.ts';
import { BootstrapLoop } from '../membership/bootstrap.ts';
import { CLEANUP_MS } from '../membership/constants.ts';
import { Membership } from '../membership/membership.ts';
import { PeerStoreCleanup } from '../membership/peer-store-cleanup.ts';
import type { Candidate } from '../router.ts';
import type { AnnounceSettings } from '../transport/announced-addresses.ts';
import type { IdentityConflict } from '../transport/identity-conflict.ts';
import { pushAddresses } from '../transport/node.ts';
import type { OwnPeer } from '../transport/own-peer.ts';
import { routerAddress, type WirePeer } from '../wire-peer.ts';
import {
  ADDRESS_CHECK_MS,
  CLONE_LOOK_MS,
  LIST_DIAL_MS,
  MAX_REMEMBERED,
  RECORD_SWEEP_MS,
  REMEMBER_MS,
  REMEMBER_SOON_MS,
} from './constants.ts';
import type { TrackerProtocol } from './tracker-protocol.ts';

export interface Libp2pRouterParts {
  readonly log: Logger;
  /** This node as its peers are told of it; gets its id when the router starts. */
  readonly self: OwnPeer;
  readonly instruments: Pick<Instruments, 'peers' | 'resolveDuration' | 'identityConflict'>;
  readonly bootstrappers: readonly Bootstrapper[];
  /** One of the bootstrappers, which is told now and then which peers are alive. */
  readonly peerMemory?: PeerMemory | undefined;
  /** Read before the start. With them, the network is closed to peers without one of the keys. */
  readonly networkKeys?: NetworkKeys | undefined;
}

export interface Libp2pRouterSettings extends AnnounceSettings {
  readonly version: string;
  /** Directory of the identity key; empty: a new identity in memory. */
  readonly dataDir: string;
  /** `/etc/machine-id` unless a test says otherwise. */
  readonly machineIdFile?: string;
  /** Validity of our records at a peer that does not get them again, in milliseconds. */
  readonly advertiseTtlMs: number;
  /** Peers named in one answer. Tests of large fleets with few nodes set a smaller number. */
  readonly peersTold?: number;
}

export interface OverlayParts extends Libp2pRouterParts {
  readonly libp2p: Libp2p;
  readonly table: RoutingTable;
  readonly providerStore: ProviderStore;
  readonly tracker: TrackerProtocol;
  readonly conflict: IdentityConflict;
  readonly candidateOf: (provider: WirePeer) => Candidate | undefined;
}

/** The parts of the router that exist between start and stop, around a started libp2p. */
export class Overlay {
  readonly provideService: ProvideService;
  readonly lookupCache: LookupCache;
  readonly membership: Membership;
  readonly bootstrap: BootstrapLoop;
  readonly #parts: OverlayParts;
  readonly #client: DhtClient;
  readonly #providersClient: ProvidersClient;
  readonly #unanswering = new Strikes(RULES.unanswering);
  readonly #addressWatch: AddressWatch;
  readonly #peerStoreCleanup: PeerStoreCleanup;
  /** Ends bootstrapping and the timers. */
  readonly #end = new AbortController();
  #rememberTimer: NodeJS.Timeout | undefined;
  #bootstrapping: Promise<void> = Promise.resolve();

  constructor(parts: OverlayParts, settings: Libp2pRouterSettings) {
    const { libp2p, table, self } = parts;
    const client = new DhtClient(libp2p);
    const onFailure = (peer: TablePeer) => this.membership.suspect(peer);
    this.#parts = parts;
    this.#client = client;
    this.#providersClient = new ProvidersClient(libp2p);
    this.provideService = new ProvideService({
      table,
      client,
      onFailure,
      self: () => self.wire,
      validityMs: settings.advertiseTtlMs,
    });
    this.membership = new Membership({
      libp2p,
      table,
      client,
      peersTold: settings.peersTold ?? PEERS_TOLD,
      isOnLoopback: () => self.isOnLoopback,
      onSelf: (addresses) => parts.conflict.claimed(addresses),
      onJoined: (peer) => this.#joined(peer),
      onReturned: (peer) => void this.provideService.peerReturned(peer),
      onLeft: (peer) => this.#left(peer),
    });
    const unanswering = this.#unanswering;
    const timeout = new AdaptiveTimeout();
    this.lookupCache = new LookupCache({
      ...parts,
      client,
      onFailure,
      unanswering,
      timeout,
      providersClient: this.#providersClient,
      isProvided: (multihash) => this.provideService.isProvided(multihash),
    });
    this.bootstrap = new BootstrapLoop(
      {
        ...parts,
        dial: (address, signal) => this.#dial(address, signal),
        remoteIpsOf: (peer) => client.remoteIpsOf(peer),
        onMet: (peer) => this.membership.exploreFrom(peer),
      },
      settings.routerAddress.port,
    );
    this.#peerStoreCleanup = new PeerStoreCleanup(parts);
    const onReplaced = () => this.#tellAddresses();
    this.#addressWatch = new AddressWatch({ ...parts, onReplaced }, settings);
  }

  /** Rejects when a list of first peers cannot be served, such as a port that is in use. */
  async start(): Promise<void> {
    const { tracker, libp2p, providerStore, bootstrappers } = this.#parts;
    this.membership.start();
    this.#peerStoreCleanup.start(this.#end.signal);
    tracker.start(libp2p);
    this.provideService.start();
    this.#every(RECORD_SWEEP_MS, () => providerStore.sweep());
    this.#every(CLEANUP_MS, () => void this.#peerStoreCleanup.sweep());
    this.#every(ADDRESS_CHECK_MS, () => this.#readAddresses());
    this.#every(REMEMBER_MS, () => this.#remember());
    const dial = (address: string, signal: AbortSignal) => this.#dial(address, signal);
    this.#every(CLONE_LOOK_MS, () => void this.#parts.conflict.look(dial, this.#end.signal));
    this.#bootstrapping = this.bootstrap.run(this.#end.signal);
    for (const bootstrapper of bootstrappers)
      await bootstrapper.start?.(this.#end.signal, () => this.bootstrap.recheck());
  }

  /** What is held against peers now. */
  held(): Held[] {
    return [...this.#unanswering.held(), ...this.membership.held()];
  }

  /** As `Libp2pRouter.leave`. */
  async leave(): Promise<void> {
    this.#end.abort(new Error('router stops'));
    this.provideService.stop();
    this.#remember();
    await this.membership.leave();
  }

  async stop(): Promise<void> {
    this.#end.abort(new Error('router stopped'));
    clearTimeout(this.#rememberTimer);
    this.lookupCache.stop();
    this.provideService.stop();
    this.membership.stop();
    this.#client.stop();
    this.#providersClient.stop();
    this.#parts.tracker.stop();
    await this.#bootstrapping;
    await Promise.allSettled(this.#parts.bootstrappers.map(async (list) => list.stop?.()));
    await this.#parts.libp2p.stop();
  }

  #joined(peer: TablePeer): void {
    const { providerStore, instruments, table, log } = this.#parts;
    log.debug('peer met', {
      peer: peer.peerId,
      addresses: peer.addresses.flatMap((bytes) => routerAddress(bytes) ?? []),
    });
    providerStore.markGone(peer.peerId, false);
    instruments.peers.set({}, table.size);
    this.provideService.peerJoined(peer);
    if (this.#end.signal.aborted) return;
    this.#rememberTimer ??= setTimeout(() => {
      this.#remember();
      // The first peers got an address at once. If it cannot be reached, they soon get another.
      void this.#addressWatch.look(this.#end.signal);
    }, REMEMBER_SOON_MS);
  }

  #left({ id, peerId }: TablePeer): void {
    const { providerStore, instruments, table, tracker, log } = this.#parts;
    log.debug('peer gone', { peer: peerId });
    providerStore.markGone(peerId, true);
    instruments.peers.set({}, table.size);
    this.#unanswering.forget(peerId);
    tracker.forget(peerId);
    this.#providersClient.forget(peerId);
    this.lookupCache.forget(peerId);
    this.provideService.peerLeft(peerId);
    this.#peerStoreCleanup.add(id);
  }

  async #dial(address: string, signal: AbortSignal): Promise<string> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(LIST_DIAL_MS)]);
    const { remotePeer } = await this.#parts.libp2p.dial(multiaddr(address), { signal: bounded });
    return remotePeer.toString();
  }

  #remember(): void {
    clearTimeout(this.#rememberTimer);
    this.#rememberTimer = undefined;
    const peers = [...this.#parts.table.all()].slice(-MAX_REMEMBERED);
    const alive = peers.map(({ peerId, addresses }) => ({
      id: peerId,
      addresses: addresses.flatMap((bytes) => routerAddress(bytes) ?? []),
    }));
    this.#parts.peerMemory?.remember(alive);
  }

  #readAddresses(): void {
    const { self, log } = this.#parts;
    if (self.updateAddresses()) {
      log.info('addresses changed', { announced: self.announced });
      this.#tellAddresses();
    }
    void this.#addressWatch.look(this.#end.signal);
  }

  /**
   * Checks every peer and sends it our records: after a move, old connections are dead without
   * being closed.
   */
  #tellAddresses(): void {
    const { table, libp2p } = this.#parts;
    // For connections that outlive the change: a host that started before its network announced
    // loopback on them.
    void pushAddresses(libp2p);
    for (const peer of table.all()) {
      this.membership.suspect(peer);
      this.provideService.peerJoined(peer);
    }
  }

  #every(ms: number, action: () => void): void {
    const timer = setInterval(action, ms);
    this.#end.signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }
}
