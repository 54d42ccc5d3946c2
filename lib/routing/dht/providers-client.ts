import type { Libp2p, Stream } from '@libp2p/interface';
import { ExpiringMap } from '../../base/expiring-map.ts';
import { PROVIDERS_PROTOCOL } from '../constants.ts';
import type { WirePeer } from '../wire-peer.ts';
import {
  DHT_ANSWER_MS,
  MAX_KEYS_ASKED_TOGETHER,
  MAX_PROVIDERS_ANSWER_BYTES,
  MAX_PROVIDERS_QUESTIONS_PENDING,
  MAX_PROVIDERS_STREAMS_OPENED,
  MAX_TABLE_PEERS,
  PROVIDERS_REFUSED_MS,
} from './constants.ts';
import { frame } from './frames.ts';
import { decodeProvidersAnswer, encodeProvidersQuestion } from './providers-message.ts';
import type { TablePeer } from './routing-table.ts';
import { RpcStream, type RpcStreamSettings } from './rpc-stream.ts';

const PROVIDERS_STREAM: RpcStreamSettings<readonly WirePeer[][]> = {
  decode: decodeProvidersAnswer,
  maxAnswerBytes: MAX_PROVIDERS_ANSWER_BYTES,
  maxPending: MAX_PROVIDERS_QUESTIONS_PENDING,
  answerTimeoutMs: DHT_ANSWER_MS,
};

interface KeyQuestion {
  readonly key: Uint8Array;
  readonly resolve: (providers: readonly WirePeer[]) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Asks peers for the providers of many keys: what is asked of a peer within one turn of the event
 * loop is one message. Never dials.
 */
export class ProvidersClient {
  readonly #libp2p: Libp2p;
  readonly #streams = new Map<string, RpcStream<readonly WirePeer[][]>>();
  /** What is asked in this turn, by peer. */
  readonly #asked = new Map<TablePeer, KeyQuestion[]>();
  /** Peers that failed such a question a moment ago, by id. */
  readonly #refused = new ExpiringMap<true>(MAX_TABLE_PEERS);
  #turn: NodeJS.Immediate | undefined;
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
   * Asks for the providers of a key, given as multihash. Rejects when the peer is not connected,
   * fails, is silent for ten seconds, or answers for another number of keys.
   */
  getProviders(peer: TablePeer, key: Uint8Array): Promise<readonly WirePeer[]> {
    if (this.#isStopped) return Promise.reject(new Error('router stopped'));
    this.#turn ??= setImmediate(() => this.#askAll());
    return new Promise((resolve, reject) => {
      const questions = this.#asked.get(peer) ?? [];
      questions.push({ key, resolve, reject });
      this.#asked.set(peer, questions);
    });
  }

  /** Closes the stream to a peer. */
  forget(peerId: string): void {
    const stream = this.#streams.get(peerId);
    this.#streams.delete(peerId);
    stream?.close();
    this.#refused.delete(peerId);
  }

  /** Rejects all that was asked. */
  stop(): void {
    this.#isStopped = true;
    clearImmediate(this.#turn);
    for (const questions of this.#asked.values()) rejectAll(questions, new Error('router stopped'));
    this.#asked.clear();
    for (const peerId of [...this.#streams.keys()]) this.forget(peerId);
  }

  #askAll(): void {
    this.#turn = undefined;
    const asked = [...this.#asked];
    this.#asked.clear();
    for (const [peer, questions] of asked) {
      for (let at = 0; at < questions.length; at += MAX_KEYS_ASKED_TOGETHER)
        void this.#askTogether(peer, questions.slice(at, at + MAX_KEYS_ASKED_TOGETHER));
    }
  }

  /** Sends one message. Never rejects. */
  async #askTogether(peer: TablePeer, questions: readonly KeyQuestion[]): Promise<void> {
    try {
      const question = frame(encodeProvidersQuestion(questions.map(({ key }) => key)));
      const lists = await this.#streamOf(peer).exchange(question);
      if (lists.length !== questions.length)
        throw new Error(`providers of ${lists.length} keys, asked for ${questions.length}`);
      for (const [at, { resolve }] of questions.entries()) resolve(lists[at] ?? []);
    } catch (error) {
      this.#refused.set(peer.peerId, true, PROVIDERS_REFUSED_MS);
      rejectAll(questions, error);
    }
  }

  #streamOf({ id, peerId }: TablePeer): RpcStream<readonly WirePeer[][]> {
    let stream = this.#streams.get(peerId);
    if (stream === undefined) {
      stream = new RpcStream((signal) => this.#open(id, signal), PROVIDERS_STREAM);
      this.#streams.set(peerId, stream);
    }
    return stream;
  }

  async #open(id: TablePeer['id'], signal: AbortSignal): Promise<Stream> {
    const connection = this.#libp2p.getConnections(id).at(-1);
    if (connection === undefined) throw new Error('peer is not connected');
    const maxOutboundStreams = MAX_PROVIDERS_STREAMS_OPENED;
    return connection.newStream(PROVIDERS_PROTOCOL, { signal, maxOutboundStreams });
  }
}

function rejectAll(questions: readonly KeyQuestion[], reason: unknown): void {
  for (const { reject } of questions) reject(reason);
}
