/** The policy numbers of the transport: connections, handshakes, streams and keep-alive. */

/** Connections of this node. Each node keeps one to every other; libp2p would prune above 300. */
export const MAX_PEER_CONNECTIONS = 10_000;

/**
 * Inbound connections per second and IP. With libp2p's 5, hosts behind one NAT, or nodes on one
 * machine, would be refused when they join.
 */
export const MAX_INBOUND_PER_SECOND_PER_IP = 500;

/** Inbound handshakes at the same time. libp2p's 10 are too few when a fleet is switched on. */
export const MAX_INBOUND_PENDING = 500;

/** Dials at the same time. */
export const MAX_PARALLEL_DIALS = 64;

/**
 * Time for a dial, with three handshakes by a host that may be busy. A dead host must not hold a
 * place for longer.
 */
export const PEER_DIAL_TIMEOUT_MS = 5_000;

/** DHT streams that a peer may open per connection. */
export const MAX_DHT_STREAMS_INBOUND = 64;

/**
 * Tracker streams that a peer may open per connection: one, and successors of streams that ended.
 */
export const MAX_TRACKER_STREAMS_INBOUND = 8;

/** Streams of questions for many keys that a peer may open per connection, likewise. */
export const MAX_PROVIDERS_STREAMS_INBOUND = 8;

// kad-dht, which answers only where our own code does not.

/**
 * Depth of kad-dht's buckets: they split down to 16 bits, so that its table holds every peer while
 * its queries stay at k peers each.
 */
export const KAD_PREFIX_BITS = 16;

/**
 * Peers that kad-dht may ping before it adds them to its table. Its queue of 100 overflows when a
 * fleet is met at once.
 */
export const MAX_KAD_PINGS_QUEUED = 10_000;

/** kad-dht never refreshes records: our own code does, and kad-dht would send a query for each. */
export const KAD_REPROVIDE_MS = 2 ** 31 - 1;

/**
 * When kad-dht first walks through the network, and how many queries it makes at the same time. Its
 * default, ten paths a second after the start, would double the cost of joining; the walk only
 * finds what discovery misses.
 */
export const KAD_FIRST_WALK_MS = 60_000;
export const KAD_WALK_QUERIES = 3;

// Inbound limits per network, before the handshake.

/**
 * Connections of one IPv4 address or IPv6 network: the hosts behind it, with room. Each of them
 * keeps one connection.
 */
export const MAX_PEER_CONNECTIONS_PER_NETWORK = 1_024;

/** Handshakes per network, a millisecond of this thread each: 128 at once, then 16 a second. */
export const HANDSHAKES_PER_NETWORK = { share: 16 / 1_000, burstMs: 128 } as const;

/** Networks whose handshakes are counted: more than a fleet has. */
export const MAX_HANDSHAKE_NETWORKS = 10_000;

/** How long the handshakes of a network that no longer connects are remembered. */
export const HANDSHAKES_FORGET_MS = 60_000;

// Keep-alive of connections.

/** Time between two pings of a connection, at most. TCP closes a socket after two idle minutes. */
export const KEEPALIVE_MS = 30_000;

/** Time for the answer to a ping: a busy host at either end may take this long. */
export const KEEPALIVE_PING_MS = 8_000;

/** Pings in a row without an answer that end a connection. */
export const KEEPALIVE_PINGS = 2;

/**
 * Bytes that yamux keeps per stream for a peer that does not read, and of a peer that sends. By
 * default it takes 16 MiB per stream, of which hundreds may wait. The window never grows above its
 * initial size, the least that yamux accepts.
 */
export const MAX_STREAM_UNSENT_BYTES = 4 * 1024 * 1024;
export const MAX_STREAM_WINDOW_BYTES = 256 * 1024;

/**
 * Bytes of frames that wait for the end of the turn; more are sent at once. The most that one
 * message of noise holds.
 */
export const FRAME_BATCH_BYTES = 65_519;

// Clones: other hosts with this node's identity.

/**
 * When a conflict is forgotten with a clone that cannot be dialled: it connects every few minutes.
 */
export const CONFLICT_FORGET_MS = 600_000;

/** How often a clone that was reached is dialled again, to notice when it is gone. */
export const CLONE_PROBE_MS = 30_000;

/** Addresses of clones that are remembered. */
export const MAX_CLONE_ADDRESSES = 8;

/**
 * Claims of peers that this node's id is at another address: how long each is not tried again, how
 * many are remembered and may wait, and how many are dialled per look.
 */
export const CLAIM_AGAIN_MS = 600_000;
export const MAX_CLAIMS = 256;
export const MAX_CLAIMS_QUEUED = 16;
export const CLAIMS_PER_LOOK = 2;

/** How often the log warns of a clone, per address, and for how many addresses. */
export const CONFLICT_WARN_MS = 3_600_000;
export const MAX_CONFLICT_WARNINGS = 16;

/**
 * How long a connection to a clone stays open: libp2p resets a connection to its own id at once,
 * and the other side must read our proof first.
 */
export const CLONE_LINGER_MS = 200;
