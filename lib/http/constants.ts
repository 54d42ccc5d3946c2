/** The policy numbers of http. */

// Connections of the server.

/**
 * Connections at once, by the kind of the client. Measured for a client that does not read, in this
 * process and in the kernel: 0.8 MB for a blob out of the store, 5.9 MB for each of the first 16
 * blobs from a peer and 2.3 MB for further ones; besides these, nothing has more than the 4 MiB of
 * a manifest. Eighty hosts with three layers in flight have 240 `remote` connections; trackers send
 * no more than a few. Twenty images of ten layers that this host's containerd pulls at once are 200
 * of `host`, which it reads.
 */
export const MAX_CONNECTIONS = { remote: 256, host: 512, user: 32 } as const;

/** Connections of one remote network: five pulls of three layers of each of its four hosts. */
export const MAX_CONNECTIONS_PER_NETWORK = 64;

/** A connection this young is not ended to make room: its first request is on its way. */
export const FRESH_CONNECTION_MS = 1_000;

/**
 * Refusals with an answer in one period; further connections are dropped without a word. An answer
 * takes a third of a millisecond of this thread, and up to LINGER_MS until a silent client is gone.
 */
export const MAX_ANSWERED_REFUSALS = 64;
export const REFUSAL_PERIOD_MS = 1_000;

/** Requests under way on one connection: containerd does not pipeline, and each takes memory. */
export const MAX_PIPELINED = 4;

/** The same for other hosts: a peer's next request may come before its last answer is all sent. */
export const MAX_PIPELINED_REMOTE = 2;

/** How long the last bytes of a client may take after our FIN. Go closes at once. */
export const LINGER_MS = 2_000;

// Requests to the server. A 404 costs containerd one request more, so these can be tight.

export const MAX_REQUEST_HEAD_BYTES = 16 * 1024;
export const MAX_REQUEST_HEADERS = 100;
/** For the head of a request. */
export const HEAD_TIMEOUT_MS = 10_000;
/** For a whole request. */
export const REQUEST_TIMEOUT_MS = 30_000;
/** How often these two are checked. */
export const TIMEOUT_CHECK_MS = 1_000;

/** Longer than Go's 90 s: containerd closes idle connections first, so it meets no closed one. */
export const IDLE_MS = 120_000;

/** For running answers after `stop`. systemd kills a service 90 s after its stop by default. */
export const DRAIN_MS = 10_000;

/** For the first request of a connection after `stop`: a client asks as soon as it is connected. */
export const FIRST_REQUEST_MS = 500;

// Connections to peers that are kept for the next request.

/**
 * For one peer: containerd pulls three layers at once. So a host keeps no more than it had in use,
 * and 80 hosts leave a peer 240 connections; where there are more, an idle one makes room at once.
 */
export const MAX_KEPT_PER_PEER = 3;

/** In all: three for each of twenty peers, more than one pull asks. */
export const MAX_KEPT = 64;

/**
 * How long one is kept: the layers of a pull, and the images of a deployment, follow within it.
 * Every peer keeps them longer (we IDLE_MS, Go Spegel for ever), and so does a stateful firewall.
 */
export const KEPT_MS = 10_000;

/** A peer that says how long it keeps one is believed, less the time that a request may take. */
export const KEPT_MARGIN_MS = 1_000;

/** How long an answer about this host's names and addresses is reused: an edit counts after it. */
export const OWN_NAMES_MS = 5_000;
/** Names of which the answer is kept: other hosts can send any number of them. */
export const MAX_OWN_NAMES = 64;
/** Asking the kernel for its addresses costs 0.1 ms, too much for each request. */
export const OWN_ADDRESSES_MS = 1_000;

/** One log line about each refused `Host` in this period, and about this many of them at most. */
export const HOST_WARNING_PERIOD_MS = 60_000;
export const MAX_HOST_WARNINGS = 16;
/** Characters of a refused `Host` that are repeated. */
export const MAX_SHOWN_HOST = 100;

/** Ranges of one request: each may cost a request to a peer. */
export const MAX_RANGES = 64;

// Buffers.

/** What the buffers of a pool are like. */
export interface BufferSizes {
  readonly largeBytes: number;
  readonly smallBytes: number;
  /** While this many are in use, further ones are small. */
  readonly maxLarge: number;
}

/**
 * For serving files, two per transfer: large ones for 64 transfers at once. Measured: 64 KiB cost a
 * third more CPU, 1 MiB saves a fifth.
 */
export const SERVE_BUFFERS: BufferSizes = {
  largeBytes: 256 * 1024,
  smallBytes: 64 * 1024,
  maxLarge: 128,
};

/**
 * For relaying, one per transfer: large ones for five images of three layers each. Twenty images of
 * ten layers that one containerd pulls at once would take 200 MB of large ones.
 */
export const RELAY_BUFFERS: BufferSizes = {
  largeBytes: 1024 * 1024,
  smallBytes: 128 * 1024,
  maxLarge: 16,
};

/** Free buffers kept: for the layers that one containerd pulls at once, and some peers. */
export const MAX_FREE_BYTES = 8 * 1024 * 1024;

/** Bytes of an answer that the kernel takes before they can be sent: one piece of a file. */
export const MAX_UNSENT_BYTES = 256 * 1024;

/**
 * Bytes from a peer that the kernel takes before we read them. It doubles the number, and allows no
 * more than `rmem_max`, which has this value by default.
 */
export const MAX_UNREAD_BYTES = 208 * 1024;

// What the kernel sends without a copy.

/** The main thread stands still meanwhile. */
export const SEND_TURN_MS = 2;
/** After so many bytes the time is looked at: they take half a millisecond. */
export const SEND_SLICE_BYTES = 1024 * 1024;
/** One byte in so many is looked for in the page cache: the kernel reads ahead as many at once. */
export const PROBE_BYTES = 128 * 1024;
/** How long the page cache counts as having what was found in it. */
export const LOOK_MS = 100;
/** A slice that took so long has waited for the disk: its pages were given up after the look. */
export const SLOW_SLICE_MS = 10;
/**
 * So many bytes come through the thread pool when the page cache lacks one: a look at a missing
 * page begins a read on the main thread, which may wait for the file system's own tables.
 */
export const COLD_BYTES = 4 * 1024 * 1024;
/** Behind so many sends in a row that moved nothing, a body is copied: this kernel says no. */
export const MAX_EMPTY_SENDS = 8;
/** A client that takes so many bytes of a body within FAST_MS may have more unsent bytes. */
export const FAST_BYTES = 8 * 1024 * 1024;
export const FAST_MS = 500;
/** Of those, each with up to 4 MB until it has read them; further ones have MAX_UNSENT_BYTES. */
export const MAX_WIDE_CLIENTS = 16;
/** For so long the kernel tries to send what is left of a connection that we have closed. */
export const LEFT_BEHIND_MS = 120_000;
/** What Node reads between of a peer's body: libuv waits with it until the peer has sent more. */
export const RELAY_PIECE_BYTES = 64 * 1024;
/** The size of a pipe between a peer and a client. */
export const PIPE_BYTES = 1024 * 1024;
/** Beyond 64 MiB of pipes a user that is not root gets none of this size. */
export const MAX_PIPES = 32;
/** So much of a body, by its rate, the kernel tells of at once: longer saves little. */
export const THRESHOLD_MS = 5;
/** At most: half of a pipe. 256 KiB cost a fifth more CPU at 1 Gbit/s. */
export const MAX_THRESHOLD_BYTES = PIPE_BYTES / 2;
/** Below it, 3 MB/s, the turns are few, and every byte is told. */
export const MIN_THRESHOLD_BYTES = 16 * 1024;
/** The rate is measured anew after so long. */
export const THRESHOLD_RATE_MS = 10;
/** What came is told after so long, however little it is. */
export const THRESHOLD_LATE_MS = 10;
/** What Node writes between: libuv waits with it until the client takes more. */
export const PIECE_BYTES = 16 * 1024;

// Sources of bytes.

/** A disk that gives nothing for so long is given up: containerd would wait for ever. */
export const READ_TIMEOUT_MS = 5_000;

/**
 * A peer that sends no byte for so long while we wait is dead. Below a second, so that to notice it
 * and to go on with another source costs containerd at most a second. A segment that TCP sends
 * twice takes 0.2 to 0.6 s.
 */
export const BODY_SILENCE_MS = 800;

/**
 * A peer slower than this is given up. It is a floor: a layer of 100 MB takes 50 minutes at this
 * rate, and callers measure by higher ones.
 */
export const MIN_BYTES_PER_S = 32 * 1024;
/** How much waiting for the peer is measured at once. */
export const SLOW_WINDOW_MS = 5_000;

/** Of a peer's answer. Peers send some 400 bytes; Node's own limit is the same. */
export const MAX_RESPONSE_HEAD_BYTES = 16 * 1024;
