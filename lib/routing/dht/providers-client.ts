import type { Libp2p } from '@libp2p/interface';
import { ExpiringMap } from '../../base/expiring-map.ts';
import { PROVIDERS_PROTOCOL } from '../constants.ts';
import type { WirePeer } from '../wire-peer.ts';
import {
  DHT_ANSWER_MS,
  MAX_PROVIDERS_ANSWER_BYTES,
  MAX_PROVIDERS_QUESTIONS_PENDING,
  MAX_PROVIDERS_STREAMS_OPENED,
  MAX_TABLE_PEERS,
  PROVIDERS_REFUSED_MS,
} from './constants.ts';
import { frame } from './frames.ts';
import { PeerStreams } from './peer-streams.ts';
import { decodeProvidersAnswer, encodeProvidersQuestion } from './providers-message.ts';
import type { TablePeer } from './routing-table.ts';

/** Asks connected peers for the providers of many keys in one message. Never dials. */
export class ProvidersClient {
  readonly #libp2p: Libp2p;
  readonly #streams = new PeerStreams<readonly WirePeer[][]>({
    protocol: PROVIDERS_PROTOCOL,
    maxOpened: MAX_PROVIDERS_STREAMS_OPENED,
    decode: decodeProvidersAnswer,
    maxAnswerBytes: MAX_PROVIDERS_ANSWER_BYTES,
    maxPending: MAX_PROVIDERS_QUESTIONS_PENDING,
    answerTimeoutMs: DHT_ANSWER_MS,
  });
  /** Peers that failed such a question a moment ago, by id. */
  readonly #refused = new ExpiringMap<true>(MAX_TABLE_PEERS);
  #isStopped = false;

  constructor(libp2p: Libp2p) {
    this.#libp2p = libp2p;
  }

  /** Whether a peer is connected, speaks the protocol, and did not fail it a moment ago. */
  canAsk({ id, peerId, hasProviders }: TablePeer): boolean {
    if (!hasProviders || this.#isStopped || this.#refused.get(peerId) === true) return false;
    return this.#libp2p.getConnections(id).length > 0;
  }

  /**
   * Asks for the providers of each of up to 128 different keys, given as multihashes. Rejects when
   * the peer is not connected, fails, is silent for ten seconds, or answers for another number of
   * keys; then `canAsk` is false for ten seconds.
   */
  async getProviders(
    peer: TablePeer,
    keys: readonly Uint8Array[],
  ): Promise<readonly (readonly WirePeer[])[]> {
    try {
      if (this.#isStopped) throw new Error('router stopped');
      const question = frame(encodeProvidersQuestion(keys));
      const lists = await this.#streams.to(peer, this.#libp2p).exchange(question);
      if (lists.length === keys.length) return lists;
      throw new Error(`providers of ${lists.length} keys, asked for ${keys.length}`);
    } catch (error) {
      this.#refused.set(peer.peerId, true, PROVIDERS_REFUSED_MS);
      throw error;
    }
  }

  /** Closes the stream to a peer. */
  forget(peerId: string): void {
    this.#streams.forget(peerId);
    this.#refused.delete(peerId);
  }

  stop(): void {
    this.#isStopped = true;
    this.#streams.stop();
  }
}
