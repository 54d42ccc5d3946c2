/**
 * - `good`: nothing is held against it.
 * - `overtaken`: it is asked beside others, and not waited for.
 * - `barred in flight`: it is asked only for content that it has whole.
 * - `suspect`: only what is small and checked whole is taken from it.
 * - `barred`: it is not asked.
 * - `unanswering`: it is not waited for when peers are asked for providers.
 * - `unreachable`: it is not dialled because others name it.
 */
export type PeerState =
  | 'good'
  | 'overtaken'
  | 'barred in flight'
  | 'suspect'
  | 'barred'
  | 'unanswering'
  | 'unreachable';

/** What is held against a peer. Times are in milliseconds since 1970. */
export interface HeldRecord {
  /** Undefined: whichever peer is at the address. */
  readonly peerId?: string | undefined;
  /** `host:port`, or only the host where the port does not count. Undefined: the peer at any. */
  readonly address?: string | undefined;
  readonly state: PeerState;
  /** Undefined: not known any more. */
  readonly since: number | undefined;
  /** A suspect stays one until a check after this time has cleared it. */
  readonly until: number;
  readonly why: string;
}

/** Against what: an address, a host, a peer id, or the two of an endpoint. */
export interface Held {
  readonly key: string;
  readonly record: HeldRecord;
}
