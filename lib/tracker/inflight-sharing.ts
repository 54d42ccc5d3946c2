import type { Digest } from '../oci/digest.ts';
import type { Candidate } from '../routing/router.ts';

/** Where this host is to get a digest from. */
export type ResolvedAnswer =
  /** From the upstream; others follow. */
  | { readonly role: 'lead' }
  | {
      readonly role: 'follow';
      /** Best first, with addresses out of our own peer store. At least one. */
      readonly sources: readonly ResolvedSource[];
      /** How many hosts pass the bytes on before the first source; 0: it has them all. */
      readonly depth: number;
    };

export interface ResolvedSource {
  readonly candidate: Candidate;
  /** It has all of it; otherwise it is getting it itself. */
  readonly isWhole: boolean;
}

export interface JoinRequest {
  readonly digest: Digest;
  /** Bytes that this host has already, from 0 on. */
  readonly have: number;
  /** Peer ids that were given up on for this digest. */
  readonly failed: readonly string[];
  /** A manifest or a small blob: a few hops cost more than its bytes. */
  readonly isSmall: boolean;
}

/** What the mirror asks of in-flight sharing. */
export interface InflightClient {
  /**
   * Asks the digest's tracker. Undefined when there is none that answers in time, or sharing is off: then the
   * plain lookup decides. Never rejects. From now on the tracker is told how far this host is, until it has the
   * content or has given up.
   */
  join(question: JoinRequest, signal: AbortSignal): Promise<ResolvedAnswer | undefined>;
  /**
   * The transfer of this digest now comes from that peer, whoever named it; undefined: from the upstream. To be
   * called when the first byte has come: it tells that the tracker's word was good.
   */
  source(digest: Digest, peerId: string | undefined): void;
  /**
   * True once when the tracker knows a better source for this digest than the one of now, which is held up by
   * somebody further up: worth asking again.
   */
  isHeldUp(digest: Digest): boolean;
  /** This peer did not answer a request: as a tracker it is not waited for either, until it answers. */
  wasSilent(peerId: string): void;
  /** What all contents that this host gets came to lately, from peers and from the upstream, in bytes per second. */
  flow(): number;
  /**
   * What one transfer from the upstream gave this host lately, in bytes per second, measured while it led.
   * Undefined when it led nothing for a second within the last hour.
   */
  upstreamRate(): number | undefined;
}
