import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import { untilAborted } from '../../base/abortable.ts';
import type { Logger } from '../../base/log.ts';
import { TRACKER_PROTOCOL } from '../constants.ts';
import { frame } from '../dht/frames.ts';
import { distance, type KadPoint, kadPoint, multihashOf } from '../dht/keys.ts';
import { PeerStreams } from '../dht/peer-streams.ts';
import type { ProviderStore } from '../dht/provider-store.ts';
import type { QuestionBudget } from '../dht/question-budget.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';
import { serveRpc } from '../dht/rpc-server.ts';
import { type Answerer, MAX_MESSAGE_BYTES, type PeerProtocol } from '../peer-protocol.ts';
import type { Candidate } from '../router.ts';
import { peerIdText, type WirePeer } from '../wire-peer.ts';
import {
  MAX_PROVIDERS_RETURNED,
  MAX_QUESTIONS_PENDING,
  MAX_RECORDS_READ,
  MAX_TRACKER_STREAMS_OPENED,
  TRACKER_ANSWER_MS,
} from './constants.ts';

export interface TrackerProtocolParts {
  readonly log: Logger;
  readonly table: RoutingTable;
  readonly providerStore: ProviderStore;
  /** This node; its id is empty before the start. */
  readonly self: () => WirePeer;
  /** Whether this node provides the key with this multihash itself. */
  readonly isProvided: (multihash: Uint8Array) => boolean;
  readonly candidateOf: (peer: WirePeer) => Candidate | undefined;
  readonly budget: QuestionBudget;
}

/** The tracker protocol over libp2p: one open stream per peer, on the connection of the DHT. */
export class TrackerProtocol implements PeerProtocol {
  readonly #parts: TrackerProtocolParts;
  readonly #streams = new PeerStreams<Uint8Array>({
    protocol: TRACKER_PROTOCOL,
    maxOpened: MAX_TRACKER_STREAMS_OPENED,
    // A copy: a slice would keep the whole received chunk in memory.
    decode: (bytes) => Uint8Array.from(bytes),
    maxAnswerBytes: MAX_MESSAGE_BYTES,
    maxPending: MAX_QUESTIONS_PENDING,
    answerTimeoutMs: TRACKER_ANSWER_MS,
  });
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

  /** Peers can be asked from now on. */
  start(libp2p: Libp2p): void {
    this.#libp2p = libp2p;
  }

  stop(): void {
    this.#libp2p = undefined;
    this.#streams.stop();
  }

  /** Closes the stream to a peer. */
  forget(peerId: string): void {
    this.#streams.forget(peerId);
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
    return untilAborted(this.#streams.to(peer, this.#libp2p).exchange(frame(question)), signal);
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
      .providers(multihash, MAX_RECORDS_READ)
      .map(({ peerId }) => peerId)
      .filter((peerId) => table.get(peerId) !== undefined);
    // The record of this node is with its peers, not in its own store.
    if (isProvided(multihash)) known.unshift(this.peerId);
    return known.slice(0, MAX_PROVIDERS_RETURNED);
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

  #me() {
    const { id } = this.#parts.self();
    if (this.#self?.id !== id) {
      const text = peerIdText(id);
      this.#self = text === undefined ? undefined : { id, text, point: kadPoint(id) };
    }
    return this.#self;
  }
}
