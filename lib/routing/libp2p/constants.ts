/** The policy numbers of the router itself and of the tracker protocol. */

// Regular work of the router.

/** How often expired provider records are dropped, a bounded number of keys at a time. */
export const RECORD_SWEEP_MS = 1_000;

/**
 * How often this host's addresses are read again: it may start before its network, and may move.
 */
export const ADDRESS_CHECK_MS = 5_000;

/** How often the router looks for another host with this node's identity. */
export const CLONE_LOOK_MS = 5_000;

/**
 * How soon the peer cache gets a new peer: the host may be switched off at any time, and one write
 * serves a burst of new peers.
 */
export const REMEMBER_SOON_MS = 500;

/** How often the peer cache gets the peers that are still alive. */
export const REMEMBER_MS = 60_000;

/** Peers handed to the peer cache, the newest of a large fleet: more than it keeps. */
export const MAX_REMEMBERED = 1_024;

/** Time for dialling an address of a bootstrap list: the connection and three handshakes. */
export const LIST_DIAL_MS = 5_000;

// Candidates.

/** Registry addresses per peer: a host has one per family, and each further one costs a try. */
export const MAX_REGISTRY_ADDRESSES = 4;

// The tracker protocol.

/** Tracker streams that we open per connection: the one that stays open, and its successors. */
export const MAX_TRACKER_STREAMS_OPENED = 4;

/** Provider records read per key, and ids returned of them: more than a mirror ever tries. */
export const MAX_RECORDS_READ = 64;
export const MAX_PROVIDERS_RETURNED = 32;

/** Questions to one peer that may wait for their answers. */
export const MAX_QUESTIONS_PENDING = 64;

/** How long a question waits for its answer before the stream is given up. */
export const TRACKER_ANSWER_MS = 5_000;
