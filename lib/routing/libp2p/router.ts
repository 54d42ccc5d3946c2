import { performance } from 'node:perf_hooks';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import type { Part } from '../../base/lifecycle.ts';
import { PskProtector } from '../../network-key/psk-protector.ts';
import type { Held } from '../../peers/held.ts';
import { PEERS_TOLD } from '../constants.ts';
import { ProviderStore } from '../dht/provider-store.ts';
import { ProvidersServer } from '../dht/providers-server.ts';
import { QuestionBudget } from '../dht/question-budget.ts';
import { RoutingTable } from '../dht/routing-table.ts';
import { DhtServer } from '../dht/server.ts';
import type { PeerProtocol } from '../peer-protocol.ts';
import type { Candidate, KnownPeer, LookupOptions, Router } from '../router.ts';
import { loadIdentity } from '../transport/identity.ts';
import { IdentityConflict } from '../transport/identity-conflict.ts';
import { type Handlers, startNode } from '../transport/node.ts';
import type { OwnPeer } from '../transport/own-peer.ts';
import { routerHostPort, type WirePeer } from '../wire-peer.ts';
import { type Libp2pRouterParts, type Libp2pRouterSettings, Overlay } from './overlay.ts';
import { candidateOf } from './peer-candidate.ts';
import { TrackerProtocol } from './tracker-protocol.ts';

/**
 * The router over libp2p: finds and announces content in a Kademlia DHT that Go Spegel's nodes may
 * share. It works without any peer, too, at the start and later.
 */
export class Libp2pRouter implements Router, Part {
  readonly #parts: Libp2pRouterParts;
  readonly #settings: Libp2pRouterSettings;
  readonly #table = new RoutingTable();
  readonly #providerStore = new ProviderStore();
  readonly #server: DhtServer;
  readonly #providersServer: ProvidersServer;
  readonly #tracker: TrackerProtocol;
  readonly #protector: PskProtector | undefined;
  /** Keys announced before the start. */
  readonly #early = new Set<string>();
  readonly #self: OwnPeer;
  readonly #conflict: IdentityConflict;
  #overlay: Overlay | undefined;

  constructor(parts: Libp2pRouterParts, settings: Libp2pRouterSettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.#self = parts.self;
    const { dataDir, routerAddress } = settings;
    this.#conflict = new IdentityConflict(parts, dataDir, routerAddress.port);
    const { log, networkKeys: keys } = parts;
    this.#protector = keys && new PskProtector({ log, keys });
    const shared = {
      log,
      table: this.#table,
      providerStore: this.#providerStore,
      budget: new QuestionBudget(),
      self: () => this.#self.wire,
      isProvided: (multihash: Uint8Array) =>
        this.#overlay?.provideService.isProvided(multihash) === true,
    };
    this.#server = new DhtServer({
      ...shared,
      peersTold: settings.peersTold ?? PEERS_TOLD,
      onLeaving: (peer) => this.#overlay?.membership.peerLeaves(peer),
    });
    this.#providersServer = new ProvidersServer(shared);
    this.#tracker = new TrackerProtocol({
      ...shared,
      candidateOf: (peer) => this.#candidateOf(peer),
    });
  }

  /** This node's peer id; empty before the start. */
  get peerId(): string {
    return this.#self.peerId;
  }

  /** The tracker protocol. */
  get protocol(): PeerProtocol {
    return this.#tracker;
  }

  /** The multiaddrs that this node announces now, with `/p2p`. */
  addresses(): string[] {
    return this.#self.addresses();
  }

  /**
   * Resolves when the router listens; it joins the network in the background. Throws SpegelError
   * ERR_LISTEN, ERR_IDENTITY and ERR_DATA_DIR.
   */
  async start(signal: AbortSignal): Promise<void> {
    const { dataDir, machineIdFile } = this.#settings;
    const key = await loadIdentity(dataDir, { log: this.#parts.log, machineIdFile });
    signal.throwIfAborted();
    const id = peerIdFromPrivateKey(key);
    this.#self.identify(id.toString(), id.toMultihash().bytes);
    const announced = () => this.addresses();
    const tracker = this.#tracker.serve.bind(this.#tracker);
    const handlers: Handlers = {
      dht: (stream, connection) => this.#server.serve(stream, connection),
      providers: (stream, connection) => this.#providersServer.serve(stream, connection),
      tracker: this.#tracker.isSpoken ? tracker : undefined,
      clone: (clone) => this.#conflict.seen(clone),
    };
    const libp2p = await startNode(key, this.#settings, announced, handlers, this.#protector);
    this.#overlay = new Overlay(
      {
        ...this.#parts,
        libp2p,
        table: this.#table,
        providerStore: this.#providerStore,
        tracker: this.#tracker,
        conflict: this.#conflict,
        candidateOf: (provider) => this.#candidateOf(provider),
      },
      this.#settings,
    );
    this.#overlay.provideService.provide(this.#early);
    this.#early.clear();
    await this.#overlay.start();
    if (signal.aborted) await this.stop();
    signal.throwIfAborted();
    const { peerId: peer, announced: addresses } = this.#self;
    this.#parts.log.info('router listens', { peer, addresses });
  }

  /**
   * Says goodbye to the peers, so that they ask others; this node still answers them. To be called
   * before the registry closes. Resolves within two seconds; never rejects.
   */
  async leave(): Promise<void> {
    await this.#overlay?.leave();
  }

  async stop(): Promise<void> {
    const overlay = this.#overlay;
    this.#overlay = undefined;
    await overlay?.stop();
  }

  async *lookup(
    key: string,
    signal: AbortSignal,
    options?: LookupOptions,
  ): AsyncGenerator<Candidate, void, undefined> {
    const lookups = this.#overlay?.lookupCache;
    if (lookups === undefined) return;
    const started = performance.now();
    let first = true;
    for await (const candidate of lookups.find(key, signal, options)) {
      if (first) {
        const seconds = (performance.now() - started) / 1000;
        this.#parts.instruments.resolveDuration.observe({ router: 'libp2p' }, seconds);
      }
      first = false;
      yield candidate;
    }
  }

  /** In another turn of the event loop, so that the answer with the manifest goes out first. */
  prefetch(keys: readonly string[]): void {
    setImmediate(() => this.#overlay?.lookupCache.prefetch(keys));
  }

  advertise(keys: Iterable<string>): void {
    if (this.#overlay !== undefined) this.#overlay.provideService.provide(keys);
    else for (const key of keys) this.#early.add(key);
  }

  withdraw(keys: Iterable<string>): void {
    if (this.#overlay !== undefined) this.#overlay.provideService.withdraw(keys);
    else for (const key of keys) this.#early.delete(key);
  }

  /** The number of peers in the routing table. */
  peers(): number {
    return this.#table.size;
  }

  /** Up to `max` peers of the routing table, with the addresses that they announce. */
  known(max: number): KnownPeer[] {
    return [...this.#table.all()].slice(0, max).map(({ peerId, idBytes, addresses }) => ({
      peerId,
      router: addresses.flatMap((bytes) => routerHostPort(bytes) ?? []),
      registry: this.#candidateOf({ id: idBytes, addresses })?.addresses ?? [],
    }));
  }

  /** What is held against peers now. */
  held(): readonly Held[] {
    return this.#overlay?.held() ?? [];
  }

  suspect(peerId: string): void {
    const peer = this.#table.get(peerId);
    if (peer !== undefined) this.#overlay?.membership.suspect(peer);
  }

  /** A bootstrap list has changed: all lists are read again soon. */
  recheck(): void {
    this.#overlay?.bootstrap.recheck();
  }

  #candidateOf(provider: WirePeer): Candidate | undefined {
    if (Buffer.compare(provider.id, this.#self.wire.id) === 0) {
      this.#conflict.claimed(provider.addresses);
      return undefined;
    }
    return candidateOf(provider, {
      table: this.#table,
      self: this.peerId,
      isGone: (peer) => this.#overlay?.membership.isGone(peer) === true,
      registryPort: this.#settings.registryPort,
      isLoopbackAllowed: this.#self.isOnLoopback,
    });
  }
}
