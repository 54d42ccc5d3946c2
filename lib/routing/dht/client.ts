import type { Libp2p, Stream } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr } from '@multiformats/multiaddr';
import { untilAborted } from '../../base/abortable.ts';
import { canonicalIp } from '../../base/address.ts';
import { DHT_PROTOCOL, MAX_DHT_STREAMS } from '../constants.ts';
import { routerAddress } from '../wire-peer.ts';
import { DHT_ANSWER_MS, MAX_DHT_ANSWER_BYTES, MAX_DHT_REQUESTS_PENDING } from './constants.ts';
import { frame } from './frames.ts';
import { bytesKey } from './keys.ts';
import { type DhtMessage, decodeDhtMessage, encodeDhtMessage, MessageType } from './message.ts';
import type { TablePeer } from './routing-table.ts';
import { RpcStream, type RpcStreamSettings } from './rpc-stream.ts';

const DHT_STREAM: RpcStreamSettings<DhtMessage> = {
  decode: decodeDhtMessage,
  maxAnswerBytes: MAX_DHT_ANSWER_BYTES,
  maxPending: MAX_DHT_REQUESTS_PENDING,
  answerTimeoutMs: DHT_ANSWER_MS,
};

interface PeerStreams {
  readonly ask: RpcStream<DhtMessage>;
  /** A stream of its own: a lookup must not wait behind a thousand records. */
  readonly announce: RpcStream<DhtMessage>;
}

/** Sends DHT requests to peers, and dials a peer that is not connected. */
export class DhtClient {
  readonly #libp2p: Libp2p;
  readonly #streams = new Map<string, PeerStreams>();
  #isStopped = false;

  constructor(libp2p: Libp2p) {
    this.#libp2p = libp2p;
  }

  /** True when a request needs no dial. The other end of the connection may still be frozen. */
  isConnected(peer: TablePeer): boolean {
    return this.#libp2p.getConnections(peer.id).length > 0;
  }

  /** The peer's IPs, as its connections use them. */
  remoteIpsOf(peer: TablePeer): string[] {
    const connections = this.#libp2p.getConnections(peer.id);
    return connections.map(({ remoteAddr }) =>
      canonicalIp(remoteAddr.getComponents()[0]?.value ?? ''),
    );
  }

  /** As `isConnected`, for a peer that is not in the table. */
  isConnectedTo(peerId: string): boolean {
    return this.#libp2p.getConnections(peerIdFromString(peerId)).length > 0;
  }

  /**
   * Asks for the providers of a key, given as multihash. Rejects when the peer fails, is silent for
   * ten seconds, or sends the answer to another request.
   */
  getProviders(peer: TablePeer, key: Uint8Array): Promise<DhtMessage> {
    return this.#ask(peer, MessageType.getProviders, key);
  }

  /** Asks for the peers closest to a key. Rejects as `getProviders`. */
  findNode(peer: TablePeer, key: Uint8Array): Promise<DhtMessage> {
    return this.#ask(peer, MessageType.findNode, key);
  }

  /**
   * Sends framed ADD_PROVIDER messages and resolves when the peer has read them, which its answer
   * to a PING shows. Rejects as `getProviders`.
   */
  async announce(peer: TablePeer, records: readonly Uint8Array[]): Promise<void> {
    const bytes = Buffer.concat([...records, PING]);
    const answer = await this.#streamsOf(peer).announce.exchange(bytes);
    if (answer.type !== MessageType.ping) throw new Error('answer to another message');
  }

  /** Rejects unless the peer answers within `ms`. */
  async ping(peer: TablePeer, ms: number): Promise<void> {
    const signal = AbortSignal.timeout(ms);
    await untilAborted(this.#streamsOf(peer).ask.exchange(PING), signal);
  }

  /** Tells a peer that this node is about to stop. Resolves when the peer answers within `ms`. */
  async leave(peer: TablePeer, ms: number): Promise<void> {
    const signal = AbortSignal.timeout(ms);
    await untilAborted(this.#streamsOf(peer).ask.exchange(LEAVING), signal);
  }

  /** Aborts all connections to a peer. */
  hangUp(peer: Pick<TablePeer, 'id'>): void {
    for (const connection of this.#libp2p.getConnections(peer.id))
      connection.abort(new Error('peer is gone'));
  }

  /** Closes the streams to a peer. */
  forget(peerId: string): void {
    const streams = this.#streams.get(peerId);
    this.#streams.delete(peerId);
    streams?.ask.close();
    streams?.announce.close();
  }

  stop(): void {
    this.#isStopped = true;
    for (const peerId of [...this.#streams.keys()]) this.forget(peerId);
  }

  async #ask(peer: TablePeer, type: number, key: Uint8Array): Promise<DhtMessage> {
    const question = frame(encodeDhtMessage({ type, key }));
    const answer = await this.#streamsOf(peer).ask.exchange(question);
    const isOtherKey = answer.key.length > 0 && bytesKey(answer.key) !== bytesKey(key);
    if (answer.type !== type || isOtherKey) throw new Error('answer to another message');
    return answer;
  }

  #streamsOf(peer: TablePeer): PeerStreams {
    if (this.#isStopped) throw new Error('router stopped');
    let streams = this.#streams.get(peer.peerId);
    if (streams === undefined) {
      const open = (signal: AbortSignal) => this.#open(peer, signal);
      streams = {
        ask: new RpcStream(open, DHT_STREAM),
        announce: new RpcStream(open, DHT_STREAM),
      };
      this.#streams.set(peer.peerId, streams);
    }
    return streams;
  }

  async #open(peer: TablePeer, signal: AbortSignal): Promise<Stream> {
    // The newest connection: after a host has moved, its older ones are dead, but not closed yet.
    const known = this.#libp2p.getConnections(peer.id).at(-1);
    const connection = known ?? (await this.dial(peer, signal));
    return connection.newStream(DHT_PROTOCOL, { signal, maxOutboundStreams: MAX_DHT_STREAMS });
  }

  /** Dials a peer at the given addresses and at no others: libp2p would ask the DHT for more. */
  dial(peer: Pick<TablePeer, 'peerId' | 'addresses'>, signal: AbortSignal) {
    const targets = peer.addresses.flatMap((bytes) => {
      const address = routerAddress(bytes);
      return address === undefined ? [] : [multiaddr(`${address}/p2p/${peer.peerId}`)];
    });
    if (targets.length === 0) throw new Error('peer has no address');
    return this.#libp2p.dial(targets, { signal });
  }
}

const PING = frame(encodeDhtMessage({ type: MessageType.ping }));
const LEAVING = frame(encodeDhtMessage({ type: MessageType.ping, isLeaving: true }));
