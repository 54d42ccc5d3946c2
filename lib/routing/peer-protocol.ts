import type { Candidate } from './router.ts';

/** Answers a question of a peer at once. What it throws ends that peer's stream. */
export type Answerer = (from: string, question: Uint8Array) => Uint8Array;

/** Sixteen peer ids and as many digests are half of it. */
export const MAX_MESSAGE_BYTES = 8_192;

/** Questions and answers between nodes of ours, on the connections that are there already. */
export interface PeerProtocol {
  /**
   * Answers the questions of peers from now on. To be called once, before the router starts: a node
   * that does not answer does not ask either, and peers are not told that it speaks the protocol.
   */
  answerWith(answer: Answerer): void;
  /** This node's libp2p peer id as text; empty before the start. */
  readonly peerId: string;
  /**
   * The connected nodes that speak the protocol, this one among them, closest to a DHT key first:
   * all nodes with the same view of the fleet have the same order. None while this node does not
   * run or does not speak it.
   */
  closest(key: string, count: number): readonly string[];
  /**
   * Asks a peer other than this node. One round trip on a stream that is kept. Rejects when the
   * peer is not connected, does not speak the protocol, fails, is silent for five seconds, leaves
   * too many questions unanswered, or when the signal is aborted.
   */
  ask(peerId: string, question: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
  /**
   * Where a peer's registry listens, by what it told us itself; undefined for this node and for one
   * that we do not know.
   */
  candidate(peerId: string): Candidate | undefined;
  /**
   * Ids of the members that announced the key to this node and whose records are valid, and of this
   * node if it announces the key itself; a choice of them, 32 at most, if they are many.
   */
  providers(key: string): readonly string[];
}
