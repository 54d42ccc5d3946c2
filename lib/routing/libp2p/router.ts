import { performance } from 'node:perf_hooks';
import type { Libp2p } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { multiaddr } from '@multiformats/multiaddr';
import { isLoopback } from '../../base/address.ts';
import type { Instruments } from '../../base/instruments.ts';
import type { Part } from '../../base/lifecycle.ts';
import type { Logger } from '../../base/log.ts';
import type { Bootstrapper } from '../../bootstrap/bootstrapper.ts';
import type { Answerer, PeerProtocol } from '../peer-protocol.ts';
import type { Candidate, Router } from '../router.ts';
import { Advertiser } from './advertiser.ts';
import { type AnnounceSettings, announcedAddresses, readHostNetwork } from './announced.ts';
import { DhtClient } from './client.ts';
import { MAX_ADDRESSES_PER_PEER } from './constants.ts';
import { loadIdentity } from './identity.ts';
import { Join } from './join.ts';
import { Lookups } from './lookups.ts';
import { Membership } from './membership.ts';
import type { WirePeer } from './message.ts';
import { startNode } from './node.ts';
import { Patience } from './patience.ts';
import { PeerTable, type TablePeer } from './peer-table.ts';
import { RecordStore } from './record-store.ts';
import { registryAddresses } from './registry-address.ts';
import { DhtServer } from './server.ts';
import { Suspects } from './suspects.ts';
import { TrackerProtocol } from './tracker-protocol.ts';
import { peerText, unionAddresses } from './wire-peer.ts';

export interface Libp2pRouterParts {
  readonly log: Logger;
  readonly instruments: Pick<Instruments, 'peers' | 'resolveDuration'>;
  readonly bootstrappers: readonly Bootstrapper[];
  /** Answers what peers ask in the tracker protocol; without it this node is not seen as one that speaks it. */
  readonly answer?: Answerer | undefined;
}

export interface Libp2pRouterSettings extends AnnounceSettings {
  readonly version: string;
  /** Directory of the identity key; empty: a new identity in memory. */
  readonly dataDir: string;
}

/** What lives between start and stop. */
interface Running {
  readonly libp2p: Libp2p;
  readonly client: DhtClient;
  readonly membership: Membership;
  readonly advertiser: Advertiser;
  readonly lookups: Lookups;
  /** Ends the joining and the timers. */
  readonly end: AbortController;
  readonly joining: Promise<void>;
}

const SWEEP_MS = 1_000;
/** A host may start before its network is up, and may move: its addresses are looked at again this often. */
const ADDRESSES_MS = 15_000;

/**
 * The router over libp2p: finds and announces content in a Kademlia DHT that Go Spegel's nodes can share.
 * It starts without any peer and goes on without one.
 */
export class Libp2pRouter implements Router, Part {
  readonly #parts: Libp2pRouterParts;
  readonly #settings: Libp2pRouterSettings;
  readonly #table = new PeerTable();
  readonly #records = new RecordStore();
  readonly #suspects = new Suspects();
  readonly #server: DhtServer;
  readonly #tracker: TrackerProtocol;
  /** Keys announced before the start. */
  readonly #early = new Set<string>();
  #peerId = '';
  #announced: readonly string[] = [];
  #self: WirePeer = { id: new Uint8Array(0), addresses: [] };
  #running: Running | undefined;

  constructor(parts: Libp2pRouterParts, settings: Libp2pRouterSettings) {
    this.#parts = parts;
    this.#settings = settings;
    const shared = {
      log: parts.log,
      table: this.#table,
      records: this.#records,
      self: () => this.#self,
      provides: (multihash: Uint8Array) => this.#running?.advertiser.provides(multihash) === true,
    };
    this.#server = new DhtServer(shared);
    this.#tracker = new TrackerProtocol({
      ...shared,
      answer: parts.answer,
      candidateOf: (peer) => this.#candidateOf(peer),
    });
  }

  /** This node's peer id as text; empty before the start. */
  get peerId(): string {
    return this.#peerId;
  }

  /** Questions between nodes of ours. Without `answer` nobody is asked. */
  get protocol(): PeerProtocol {
    return this.#tracker;
  }

  /** The multiaddrs that are announced now, with `/p2p`. */
  addresses(): string[] {
    return this.#announced.map((address) => `${address}/p2p/${this.#peerId}`);
  }

  /** Resolves when the router listens; joining goes on behind. Throws SpegelError ERR_LISTEN, ERR_IDENTITY and ERR_DATA_DIR. */
  async start(signal: AbortSignal): Promise<void> {
    const key = await loadIdentity(this.#settings.dataDir);
    signal.throwIfAborted();
    const id = peerIdFromPrivateKey(key);
    this.#peerId = id.toString();
    this.#updateAddresses(id.toMultihash().bytes);
    const announced = () => this.addresses();
    const tracker = this.#tracker.serve.bind(this.#tracker);
    const libp2p = await startNode(key, this.#settings, announced, {
      dht: (stream, connection) => this.#server.serve(stream, connection),
      tracker: this.#parts.answer === undefined ? undefined : tracker,
    });
    this.#running = this.#run(libp2p);
    this.#running.advertiser.advertise(this.#early);
    this.#early.clear();
    if (signal.aborted) await this.stop();
    signal.throwIfAborted();
    this.#parts.log.info('router listens', { peerId: this.#peerId, addresses: this.#announced });
  }

  async stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    running.end.abort(new Error('router stopped'));
    running.lookups.stop();
    running.advertiser.stop();
    running.membership.stop();
    running.client.stop();
    this.#tracker.stop();
    await running.joining;
    await running.libp2p.stop();
  }

  async *lookup(key: string, signal: AbortSignal): AsyncGenerator<Candidate, void, undefined> {
    const lookups = this.#running?.lookups;
    if (lookups === undefined) return;
    const started = performance.now();
    let first = true;
    for await (const candidate of lookups.find(key, signal)) {
      if (first) {
        const seconds = (performance.now() - started) / 1000;
        this.#parts.instruments.resolveDuration.observe({ router: 'libp2p' }, seconds);
      }
      first = false;
      yield candidate;
    }
  }

  advertise(keys: Iterable<string>): void {
    if (this.#running !== undefined) this.#running.advertiser.advertise(keys);
    else for (const key of keys) this.#early.add(key);
  }

  withdraw(keys: Iterable<string>): void {
    if (this.#running !== undefined) this.#running.advertiser.withdraw(keys);
    else for (const key of keys) this.#early.delete(key);
  }

  peers(): number {
    return this.#table.size;
  }

  /** Builds the parts around a started libp2p and sets them going. */
  #run(libp2p: Libp2p): Running {
    const table = this.#table;
    const client = new DhtClient(libp2p);
    const onFailure = (peer: TablePeer) => membership.suspect(peer);
    const advertiser = new Advertiser({ table, client, self: () => this.#self, onFailure });
    const membership = new Membership({
      libp2p,
      table,
      client,
      onJoined: (peer) => this.#peersChanged(() => advertiser.peerJoined(peer)),
      onReturned: (peer) => void advertiser.peerReturned(peer),
      onLeft: ({ text }) => this.#peersChanged(() => advertiser.peerLeft(text), text),
    });
    const lookups = new Lookups({
      table,
      client,
      onFailure,
      records: this.#records,
      suspects: this.#suspects,
      patience: new Patience(),
      candidateOf: (provider) => this.#candidateOf(provider),
    });
    const end = new AbortController();
    const { log, bootstrappers } = this.#parts;
    const join = new Join({ log, libp2p, table, bootstrappers }, this.#settings.routerAddress.port);
    membership.start();
    this.#tracker.start(libp2p);
    advertiser.start();
    this.#every(SWEEP_MS, end.signal, () => this.#records.sweep());
    this.#every(ADDRESSES_MS, end.signal, () => this.#updateAddresses(this.#self.id));
    const joining = join.run(end.signal);
    return { libp2p, client, membership, advertiser, lookups, end, joining };
  }

  #peersChanged(then: () => void, left?: string): void {
    if (left !== undefined) {
      this.#suspects.answered(left);
      this.#tracker.forget(left);
    }
    this.#parts.instruments.peers.set({}, this.#table.size);
    then();
  }

  #every(ms: number, signal: AbortSignal, action: () => void): void {
    const timer = setInterval(action, ms);
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  #updateAddresses(id: Uint8Array): void {
    const announced = announcedAddresses(this.#settings, readHostNetwork());
    if (announced.join() === this.#announced.join()) return;
    if (this.#announced.length > 0) this.#parts.log.info('addresses changed', { announced });
    this.#announced = announced;
    this.#self = { id, addresses: announced.map((address) => multiaddr(address).bytes) };
  }

  /** What a peer of ours told us itself counts; for others also what is said of them, and that first. */
  #candidateOf({ id, addresses }: WirePeer): Candidate | undefined {
    const peerId = peerText(id);
    if (peerId === undefined || peerId === this.#peerId) return undefined;
    const known = this.#table.get(peerId);
    const all =
      known?.ours === true
        ? known.addresses
        : unionAddresses([addresses, known?.addresses ?? []], MAX_ADDRESSES_PER_PEER);
    const found = registryAddresses(all, known?.ours, {
      registryPort: this.#settings.registryPort,
      loopback: this.#announced.some(isLoopbackAddress),
    });
    return found.length === 0 ? undefined : { peerId, addresses: found };
  }
}

function isLoopbackAddress(address: string): boolean {
  return isLoopback(address.split('/')[2] ?? '');
}
