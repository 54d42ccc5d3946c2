import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import { untilAborted } from '../../base/abortable.ts';
import type { Logger } from '../../base/log.ts';
import { TRACKER_PROTOCOL } from '../constants.ts';
import { frame } from '../dht/frames.ts';
import { distance, type KadPoint, kadPoint, multihashOf } from '../dht/keys.ts';
import type { ProviderStore } from '../dht/provider-store.ts';
import type { QuestionBudget } from '../dht/question-budget.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';
import { serveRpc } from '../dht/rpc-server.ts';
import { RpcStream, type RpcStreamSettings } from '../dht/rpc-stream.ts';
import { type Answerer, MAX_MESSAGE_BYTES, type PeerProtocol } from '../peer-protocol.ts';
import type { Candidate } from '../router.ts';
import type { WirePeer } from '../wire-peer.ts';
import { peerIdText } from '../wire-peer.ts';

export interface TrackerProtocolParts {
  readonly log: Logger;
  readonly table: RoutingTable;
  readonly providerStore: ProviderStore;
  /** This node; its id is empty before the start. */
  readonly self: () => WirePeer;
  /** Whether this node announces a key (a multihash) itself. */
  readonly isProvided: (multihash: Uint8Array) => boolean;
  readonly candidateOf: (peer: WirePeer) => Candidate | undefined;
  readonly budget: QuestionBudget;
}

/** One kept stream, and slack for those that are being replaced. */
const MAX_STREAMS = 4;
/** Records looked at, and ids named, per key: more than anybody would try. */
const MAX_RECORDS = 64;
const MAX_PROVIDERS = 32;

const TRACKER_STREAM: RpcStreamSettings<Uint8Array> = {
  // A copy: a slice of the chunk that it came in would keep all of that in memory.
  decode: (bytes) => Uint8Array.from(bytes),
  maxAnswerBytes: MAX_MESSAGE_BYTES,
  maxPending: 64,
  answerTimeoutMs: 5_000,
};

/** The tracker protocol over libp2p: one kept stream per peer, on the connection that the DHT has already. */
export class TrackerProtocol implements PeerProtocol {
  readonly #parts: TrackerProtocolParts;
  readonly #streams = new Map<string, RpcStream<Uint8Array>>();
  #libp2p: Libp2p | undefined;
  /** Undefined: this node neither answers nor asks. */
  #answerer: Answerer | undefined;
  #self: { readonly id: Uint8Array; readonly text: string; readonly point: KadPoint } | undefined;

  constructor(parts: TrackerProtocolParts) {
    this.#parts = parts;
  }

  get peerId(): string {
    return this.#me()?.text ?? '';
  }

  answerWith(answer: Answerer): void {
    this.#answerer = answer;
  }

  /** Whether peers are told that this node speaks the protocol. */
  get isSpoken(): boolean {
    return this.#answerer !== undefined;
  }

  /** From now on peers can be asked. */
  start(libp2p: Libp2p): void {
    this.#libp2p = libp2p;
  }

  stop(): void {
    this.#libp2p = undefined;
    for (const peer of [...this.#streams.keys()]) this.forget(peer);
  }

  /** Ends the stream to a peer that left. */
  forget(peer: string): void {
    this.#streams.get(peer)?.close();
    this.#streams.delete(peer);
  }

  /** Serves a peer's stream. Never rejects. */
  serve(stream: Stream, connection: Connection): Promise<void> {
    return serveRpc(stream, connection, {
      log: this.#parts.log,
      name: 'tracker',
      maxRequestBytes: MAX_MESSAGE_BYTES,
      budget: this.#parts.budget,
      answer: (from, question) => this.#answer(from, question),
    });
  }

  closest(key: string, count: number): readonly string[] {
    const me = this.#me();
    if (me === undefined || this.#libp2p === undefined || this.#answerer === undefined) return [];
    const point = kadPoint(multihashOf(key));
    const peers = this.#parts.table.closest(point, count, (peer) => this.#isLive(peer));
    const own = distance(point, me.point);
    const before = peers.filter((peer) => distance(point, peer.point) < own).length;
    const ids = peers.map(({ peerId }) => peerId);
    ids.splice(before, 0, me.text);
    return ids.slice(0, count);
  }

  async ask(peerId: string, question: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    if (question.length > MAX_MESSAGE_BYTES)
      throw new RangeError(`question of ${question.length} bytes, at most ${MAX_MESSAGE_BYTES}`);
    const peer = this.#parts.table.get(peerId);
    if (peer === undefined || !this.#isLive(peer))
      throw new Error(`peer ${peerId} is not connected or does not speak ${TRACKER_PROTOCOL}`);
    return untilAborted(this.#streamOf(peer).exchange(frame(question)), signal);
  }

  candidate(peerId: string): Candidate | undefined {
    const peer = this.#parts.table.get(peerId);
    if (peer === undefined) return undefined;
    return this.#parts.candidateOf({ id: peer.idBytes, addresses: peer.addresses });
  }

  providers(key: string): readonly string[] {
    const { table, providerStore, isProvided } = this.#parts;
    const multihash = multihashOf(key);
    const known = providerStore
      .providers(multihash, MAX_RECORDS)
      .map(({ peerId: peer }) => peer)
      .filter((peer) => table.get(peer) !== undefined);
    // This node's own record is with its peers, not here; it is a source for others like any other holder.
    if (isProvided(multihash)) known.unshift(this.peerId);
    return known.slice(0, MAX_PROVIDERS);
  }

  #answer(from: string, question: Uint8Array): Uint8Array {
    if (this.#answerer === undefined) throw new Error('not spoken here');
    const answer = this.#answerer(from, question);
    if (answer.length > MAX_MESSAGE_BYTES)
      throw new RangeError(`answer of ${answer.length} bytes, at most ${MAX_MESSAGE_BYTES}`);
    return answer;
  }

  #isLive(peer: TablePeer): boolean {
    return peer.hasTracker && (this.#libp2p?.getConnections(peer.id).length ?? 0) > 0;
  }

  #streamOf({ id, peerId }: TablePeer): RpcStream<Uint8Array> {
    let channel = this.#streams.get(peerId);
    if (channel === undefined) {
      const open = async (signal: AbortSignal) => {
        const connection = this.#libp2p?.getConnections(id).at(-1);
        if (connection === undefined) throw new Error('peer is not connected');
        return connection.newStream(TRACKER_PROTOCOL, { signal, maxOutboundStreams: MAX_STREAMS });
      };
      channel = new RpcStream(open, TRACKER_STREAM);
      this.#streams.set(peerId, channel);
    }
    return channel;
  }

  #me() {
    const { id } = this.#parts.self();
    if (this.#self?.id !== id) {
      const text = peerIdText(id);
      this.#self = text === undefined ? undefined : { id, text, point: kadPoint(id) };
    }
    return this.#self;
  }
}
