import type { Libp2p } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import type { Instruments } from '../../base/instruments.ts';
import type { Logger } from '../../base/log.ts';
import type { Bootstrapper, PeerMemory } from '../../bootstrap/bootstrapper.ts';
import type { NetworkKeys } from '../../network-key/network-key.ts';
import { PEERS_TOLD } from '../constants.ts';
import { AdaptiveTimeout } from '../dht/adaptive-timeout.ts';
import { DhtClient } from '../dht/client.ts';
import { LookupCache } from '../dht/lookup-cache.ts';
import { ProvideService } from '../dht/provide-service.ts';
import type { ProviderStore } from '../dht/provider-store.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';
import { UnansweringPeers } from '../dht/unanswering-peers.ts';
import { AddressWatch } from '../membership/address-watch.ts';
import { BootstrapLoop } from '../membership/bootstrap.ts';
import { Membership } from '../membership/membership.ts';
import { FORGET_MS, PeerStoreCleanup } from '../membership/peer-store-cleanup.ts';
import type { Candidate } from '../router.ts';
import type { AnnounceSettings } from '../transport/announced-addresses.ts';
import type { IdentityConflict } from '../transport/identity-conflict.ts';
import { pushAddresses } from '../transport/node.ts';
import type { OwnPeer } from '../transport/own-peer.ts';
import type { WirePeer } from '../wire-peer.ts';
import { routerAddress } from '../wire-peer.ts';
import type { TrackerProtocol } from './tracker-protocol.ts';

export interface Libp2pRouterParts {
  readonly log: Logger;
  /** This node as its peers are told of it; gets its id when the router starts. */
  readonly self: OwnPeer;
  readonly instruments: Pick<Instruments, 'peers' | 'resolveDuration' | 'identityConflict'>;
  readonly bootstrappers: readonly Bootstrapper[];
  /** One of the bootstrappers: told now and then who is alive. */
  readonly peerMemory?: PeerMemory | undefined;
  /** Read before the start; with them the network is closed to everybody who has none of them. */
  readonly networkKeys?: NetworkKeys | undefined;
}

export interface Libp2pRouterSettings extends AnnounceSettings {
  readonly version: string;
  /** Directory of the identity key; empty: a new identity in memory. */
  readonly dataDir: string;
  /** `/etc/machine-id` unless a test says otherwise. */
  readonly machineIdFile?: string;
  /** How long our records count at peers that do not hear of them again, in milliseconds. */
  readonly advertiseTtlMs: number;
  /** Peers told at once; tests of large fleets with few nodes set less. */
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

const SWEEP_MS = 1_000;
/** A host may start before its network is up, and may move: its addresses are looked at again this often. */
const ADDRESSES_MS = 5_000;
/** The peer memory hears of newcomers so soon, since a host may be switched off at any time; in a burst once for many. */
const REMEMBER_SOON_MS = 500;
/** How often it hears that they still live. */
const REMEMBER_MS = 60_000;
/** More than it keeps: in a large fleet the newest ones do. */
const MAX_REMEMBERED = 1_024;
/** How often it is looked whether another host has this one's identity. */
const CLONES_MS = 5_000;
/** Of a peer of a list: connection and handshakes. */
const DIAL_MS = 5_000;

/** What of the router lives between start and stop, around a libp2p that has started. */
export class Overlay {
  readonly provideService: ProvideService;
  readonly lookupCache: LookupCache;
  readonly membership: Membership;
  readonly bootstrap: BootstrapLoop;
  readonly #parts: OverlayParts;
  readonly #client: DhtClient;
  readonly #unanswering = new UnansweringPeers();
  readonly #addressWatch: AddressWatch;
  readonly #peerStoreCleanup: PeerStoreCleanup;
  /** Ends the joining and the timers. */
  readonly #end = new AbortController();
  #rememberTimer: NodeJS.Timeout | undefined;
  #bootstrapping: Promise<void> = Promise.resolve();

  constructor(parts: OverlayParts, settings: Libp2pRouterSettings) {
    const { libp2p, table, self } = parts;
    const client = new DhtClient(libp2p);
    const onFailure = (peer: TablePeer) => this.membership.suspect(peer);
    this.#parts = parts;
    this.#client = client;
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
    this.lookupCache = new LookupCache({
      ...parts,
      client,
      onFailure,
      unanswering,
      timeout: new AdaptiveTimeout(),
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
    this.#every(SWEEP_MS, () => providerStore.sweep());
    this.#every(FORGET_MS, () => void this.#peerStoreCleanup.sweep());
    this.#every(ADDRESSES_MS, () => this.#lookAtAddresses());
    this.#every(REMEMBER_MS, () => this.#remember());
    const dial = (address: string, signal: AbortSignal) => this.#dial(address, signal);
    this.#every(CLONES_MS, () => void this.#parts.conflict.look(dial, this.#end.signal));
    this.#bootstrapping = this.bootstrap.run(this.#end.signal);
    for (const bootstrapper of bootstrappers)
      await bootstrapper.start?.(this.#end.signal, () => this.bootstrap.recheck());
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
      // The first peers are told an address at once: if it is a wrong one they soon hear of
      // another.
      void this.#addressWatch.look(this.#end.signal);
    }, REMEMBER_SOON_MS);
  }

  #left({ id, peerId: peer }: TablePeer): void {
    const { providerStore, instruments, table, tracker, log } = this.#parts;
    log.debug('peer gone', { peer });
    providerStore.markGone(peer, true);
    instruments.peers.set({}, table.size);
    this.#unanswering.answered(peer);
    tracker.forget(peer);
    this.lookupCache.forget(peer);
    this.provideService.peerLeft(peer);
    this.#peerStoreCleanup.add(id);
  }

  async #dial(address: string, signal: AbortSignal): Promise<string> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(DIAL_MS)]);
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

  #lookAtAddresses(): void {
    const { self, log } = this.#parts;
    if (self.updateAddresses()) {
      log.info('addresses changed', { announced: self.announced });
      this.#tellAddresses();
    }
    void this.#addressWatch.look(this.#end.signal);
  }

  /** A host that moved does not hear from its old connections that they are dead: each peer is asked, or dialled anew. */
  #tellAddresses(): void {
    const { table, libp2p } = this.#parts;
    // Connections that outlive the change: a host that started before its network has told them loopback.
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
