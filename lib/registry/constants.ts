/** The policy numbers of the registry. */

// Clients on other hosts.

/**
 * Requests of other hosts' clients that are mirrored at once. A client that does not read was seen
 * to hold 5.4 MB in the kernel, most of it from the peer, and a buffer of 1 MiB: 32 of them take
 * 210 MB of the unit's 512 MiB.
 */
export const MAX_MIRRORED_REQUESTS = 32;

/** The same for one address: five pulls of three layers each. */
export const MAX_MIRRORED_REQUESTS_PER_ADDRESS = 16;

/** One log line about each address in this period... */
export const LOG_PERIOD_MS = 60_000;

/** ...and about this many addresses at most: other hosts can have any number of them. */
export const MAX_LOGGED_ADDRESSES = 16;

// Answers.

/**
 * A client on this host that takes no byte for this long is dropped. CRI gives up after 5 minutes
 * without progress; a containerd that was only frozen finds its answer still open.
 */
export const HOST_STALL_MS = 10 * 60_000;

/** The same for another host: a peer that lives takes bytes within a second, or asks anew. */
export const REMOTE_STALL_MS = 60_000;

// Local content.

/** How long the store may take. A disk that spins up, or thousands of images, take less. */
export const STORE_TIMEOUT_MS = 500;

/** A store that hung gets less time for a while: a pull of 60 layers must not wait 60 times. */
export const HUNG_STORE_TIMEOUT_MS = 50;

/** How long that lasts. */
export const HUNG_STORE_PERIOD_MS = 10_000;

/** Manifests in memory for other hosts. They have some KiB: eighty hosts at once need 1 MiB. */
export const MAX_MANIFESTS_BYTES = 32 * 1024 * 1024;

/** The same for one address: two manifests of the largest size. */
export const MAX_MANIFESTS_BYTES_PER_ADDRESS = 8 * 1024 * 1024;

/**
 * Manifests kept in memory after they were read, for all: index and manifest of the last thirty
 * images of ten layers. Longer ones are rare, and one would take the place of many.
 */
export const MAX_KNOWN_MANIFESTS_BYTES = 512 * 1024;
export const MAX_KNOWN_MANIFEST_BYTES = 64 * 1024;

// Manifests that the fleet does not have.

/**
 * Manifests still to be read for the sizes of their layers: an index and a manifest for each of the
 * few images that are pulled at the same time.
 */
export const MAX_UNREAD_MANIFESTS = 8;

/**
 * How long a digest counts as a manifest's. After a miss, containerd asks for it as a blob at once.
 */
export const MISSED_MANIFEST_MS = 10 * 60_000;

/** Digests that count as manifests', of this host's requests and of others'. */
export const MAX_MISSED_MANIFESTS = 1_024;

// In-flight sharing.

/** Digests that containerd asked for: the layers of the images that it pulls, with room. */
export const MAX_ASKED_DIGESTS = 1_024;

/** How long a digest counts as asked for: a layer of many GB is downloaded in less. */
export const ASKED_DIGEST_MS = 60 * 60_000;

/**
 * How long a peer's request waits for containerd to open its ingest, which it does before it asks
 * for the bytes. Shorter than the peer waits for the head of the answer.
 */
export const INGEST_BEGIN_MS = 500;

/** containerd opens its ingest within this after it asked, unless its upstream is silent. */
export const BEGINS_WITHIN_MS = 10_000;

/** Bytes of a relay kept in memory: twice the step of 1 MiB in which containerd writes a layer. */
export const RELAY_TAIL_BYTES = 2 * 1024 * 1024;

/** While bytes of a relay come within this time, content that stalls on the disk is not stalled. */
export const RELAY_FRESH_MS = 2_000;

// Several ranges.

/**
 * Ranges with at most this gap between them are asked for as one. Measured: one more request to a
 * peer takes 9 ms on a busy machine, in which 64 KiB come at 58 Mbit/s. Clients that load lazily
 * leave out pieces of 50 kB.
 */
export const MAX_RANGE_GAP_BYTES = 64 * 1024;

// Metrics.

/** Registries that get time series of their own; the others share the label `other`. */
export const MAX_LABELLED_REGISTRIES = 100;
