/** The daemon of this host answers: under load it is slow, and not silent. */
export const DAEMON_TIMEOUT_MS = 3_000;
export const MAX_DAEMON_ANSWER_BYTES = 8 * 1024 * 1024;

/** A peer has about this many addresses; a check tries no more of them. */
export const MAX_TRIED_ADDRESSES = 4;

/** A reachable host answers in milliseconds, and all peers are dialled at once. */
export const DIAL_TIMEOUT_MS = 1_000;
/** A few peers show whether a firewall is in the way; a large fleet is not dialled as a whole. */
export const MAX_DIALLED_PEERS = 8;

/** A daemon younger than YOUNG_DAEMON_MS gets this long to connect to its first peer. */
export const FIRST_PEER_TIMEOUT_MS = 5_000;
export const YOUNG_DAEMON_MS = 20_000;
export const FIRST_PEER_POLL_MS = 250;

/** A finding names this many files, which a person still reads. */
export const MAX_NAMED_FILES = 5;

/** `spegel version` prints one line. A program that hangs must not stop an installation. */
export const VERSION_TIMEOUT_MS = 5_000;
