import type { Libp2p, Stream } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr } from '@multiformats/multiaddr';
import { untilAborted } from '../../base/abortable.ts';
import { canonicalIp } from '../../base/address.ts';
import { DHT_PROTOCOL, MAX_DHT_STREAMS } from '../constants.ts';
import { routerAddress } from '../wire-peer.ts';
import { frame } from './frames.ts';
import { bytesKey } from './keys.ts';
import { type DhtMessage, decodeDhtMessage, encodeDhtMessage, MessageType } from './message.ts';
import type { TablePeer } from './routing-table.ts';
import { RpcStream, type RpcStreamSettings } from './rpc-stream.ts';

const DHT_STREAM: RpcStreamSettings<DhtMessage> = {
  decode: decodeDhtMessage,
  // Go Spegel names every provider of a key, 100 bytes each; what is longer than this is no answer of a fleet's.
  maxAnswerBytes: 1_048_576,
  maxPending: 256,
  answerTimeoutMs: 10_000,
};

interface PeerStreams {
  readonly ask: RpcStream<DhtMessage>;
  /** Its own stream: a lookup must not wait behind a thousand records. */
  readonly announce: RpcStream<DhtMessage>;
}

/** Asks peers of the table over the DHT protocol; dials those that are not connected. */
export class DhtClient {
  readonly #libp2p: Libp2p;
  readonly #streams = new Map<string, PeerStreams>();
  #isStopped = false;

  constructor(libp2p: Libp2p) {
    this.#libp2p = libp2p;
  }

  /** True when a question costs no dial: a connection is there, though its other end may be frozen. */
  isConnected(peer: TablePeer): boolean {
    return this.#libp2p.getConnections(peer.id).length > 0;
  }

  /** The IPs at the other ends of the connections to a peer. */
  remoteIpsOf(peer: TablePeer): string[] {
    const connections = this.#libp2p.getConnections(peer.id);
    return connections.map(({ remoteAddr }) =>
      canonicalIp(remoteAddr.getComponents()[0]?.value ?? ''),
    );
  }

  /** As `isConnected`, for one that has said nothing yet; `peer` is its id as text. */
  isConnectedTo(peer: string): boolean {
    return this.#libp2p.getConnections(peerIdFromString(peer)).length > 0;
  }

  /** Rejects when the peer fails, when it is silent for ten seconds and when it answers something else. */
  getProviders(peer: TablePeer, key: Uint8Array): Promise<DhtMessage> {
    return this.#ask(peer, MessageType.getProviders, key);
  }

  findNode(peer: TablePeer, key: Uint8Array): Promise<DhtMessage> {
    return this.#ask(peer, MessageType.findNode, key);
  }

  /** Sends framed ADD_PROVIDER messages and resolves when the peer has read them. */
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

  /** Tells a peer that this node is about to stop. Resolves when the peer has read it; rejects as `ping`. */
  async leave(peer: TablePeer, ms: number): Promise<void> {
    const signal = AbortSignal.timeout(ms);
    await untilAborted(this.#streamsOf(peer).ask.exchange(LEAVING), signal);
  }

  /** Ends all connections to a peer. */
  hangUp(peer: Pick<TablePeer, 'id'>): void {
    for (const connection of this.#libp2p.getConnections(peer.id))
      connection.abort(new Error('peer is gone'));
  }

  forget(peer: string): void {
    const channels = this.#streams.get(peer);
    this.#streams.delete(peer);
    channels?.ask.close();
    channels?.announce.close();
  }

  stop(): void {
    this.#isStopped = true;
    for (const peer of [...this.#streams.keys()]) this.forget(peer);
  }

  async #ask(peer: TablePeer, type: number, key: Uint8Array): Promise<DhtMessage> {
    const question = frame(encodeDhtMessage({ type, key }));
    const answer = await this.#streamsOf(peer).ask.exchange(question);
    const other = answer.key.length > 0 && bytesKey(answer.key) !== bytesKey(key);
    if (answer.type !== type || other) throw new Error('answer to another message');
    return answer;
  }

  #streamsOf(peer: TablePeer): PeerStreams {
    if (this.#isStopped) throw new Error('router stopped');
    let channels = this.#streams.get(peer.peerId);
    if (channels === undefined) {
      const open = (signal: AbortSignal) => this.#open(peer, signal);
      channels = {
        ask: new RpcStream(open, DHT_STREAM),
        announce: new RpcStream(open, DHT_STREAM),
      };
      this.#streams.set(peer.peerId, channels);
    }
    return channels;
  }

  async #open(peer: TablePeer, signal: AbortSignal): Promise<Stream> {
    // The newest: of a host that moved the older ones are dead and do not know it yet.
    const known = this.#libp2p.getConnections(peer.id).at(-1);
    const connection = known ?? (await this.dial(peer, signal));
    return connection.newStream(DHT_PROTOCOL, { signal, maxOutboundStreams: MAX_DHT_STREAMS });
  }

  /** Dials a peer at the addresses that it told, and at no others: libp2p would ask the DHT for more. */
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
