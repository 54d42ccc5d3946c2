/** Why a request to a peer failed. */
export type FailureKind =
  /** There is no connection. */
  | 'unreachable'
  /** No bytes, or next to none, came in time. */
  | 'silent'
  /** Bytes came, but more slowly than the upstream would send them. */
  | 'slow'
  /** The connection broke. */
  | 'reset'
  /** The body ended before the promised length. */
  | 'short'
  /** The peer lives, but is downloading the content itself and has no more of it, or too slowly. */
  | 'stalled'
  /** The answer breaks the rules. */
  | 'invalid'
  /** A proper answer that says no. */
  | 'refused'
  /** It does not let this host in: its network key or its clock is another. */
  | 'denied'
  /** Another host than the expected one answered. */
  | 'stranger'
  /** The bytes do not have the digest. */
  | 'corrupt'
  /** It sent wrong bytes before, and this content is too large to check before it is passed on. */
  | 'suspect';

export class PeerFailure extends Error {
  override readonly name = 'PeerFailure';
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
