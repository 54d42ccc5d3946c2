import type { Candidate } from './router.ts';

/** Answers a question of a peer at once. An error that it throws ends that peer's stream. */
export type Answerer = (from: string, question: Uint8Array) => Uint8Array;

/** The longest question or answer: twice the size of sixteen peer ids and as many digests. */
export const MAX_MESSAGE_BYTES = 8_192;

/** Questions and answers between our nodes, on connections that are already open. */
export interface PeerProtocol {
  /**
   * Answers the questions of peers from now on. Call it once, before the router starts. Without the
   * call the node asks no questions either, and peers do not learn that it speaks the protocol.
   */
  answerWith(answer: Answerer): void;
  /** This node's libp2p peer id as text; empty before the start. */
  readonly peerId: string;
  /**
   * Returns the connected nodes that speak the protocol, and this node, closest to a DHT key first.
   * All nodes that know the same fleet return the same order. Empty while this node does not run or
   * does not speak the protocol.
   */
  closest(key: string, count: number): readonly string[];
  /**
   * Asks another node, in one round trip on a stream that stays open. Rejects when the peer is not
   * connected, does not speak the protocol, fails, is silent for five seconds, leaves too many
   * questions unanswered, or when the signal is aborted.
   */
  ask(peerId: string, question: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
  /**
   * Where a peer's registry listens, as the peer itself told; undefined for this node and for an
   * unknown peer.
   */
  candidate(peerId: string): Candidate | undefined;
  /**
   * Ids of the peers whose records of the key are valid here, and of this node if it announces the
   * key itself. If there are more than 32, a random choice of 32.
   */
  providers(key: string): readonly string[];
}
