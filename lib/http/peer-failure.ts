/**
 * Why a request to a peer came to nothing:
 * `unreachable` no connection; `silent` nothing, or next to nothing, came in time; `slow` it came, but slower than it is worth; `reset` the connection
 * broke; `short` it ended before the promised length; `stalled` the peer lives, but gets the
 * content itself and has no more of it, or too slowly; `invalid` the answer breaks the rules; `refused` a proper
 * answer that says no; `denied` it does not let us in: its network key or its clock is another; `stranger` another host than the expected one answered; `corrupt` the bytes do not have the
 * digest; `suspect` it sent wrong bytes before, and this is too large to check before it is passed on.
 */
export type FailureKind =
  | 'unreachable'
  | 'silent'
  | 'slow'
  | 'reset'
  | 'short'
  | 'stalled'
  | 'invalid'
  | 'refused'
  | 'denied'
  | 'stranger'
  | 'corrupt'
  | 'suspect';

export class PeerFailure extends Error {
  override readonly name = 'PeerFailure';
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
