/** The policy numbers of the lists of first peers, by list. */

// Entries, in options, files and answers.

/**
 * Characters of an entry: more than any multiaddr or name has. The time to read base58 grows with
 * the square of its length.
 */
export const MAX_ENTRY_LENGTH = 400;

// DNS.

/** Targets of SRV records that are resolved: any host of a larger fleet names the others. */
export const MAX_DNS_TARGETS = 256;

/** Addresses taken of one domain: a join needs one peer that answers. */
export const MAX_DNS_ADDRESSES = 1_024;

/**
 * Milliseconds for one SRV question to one server, and tries. c-ares asks the next server after
 * each try.
 */
export const SRV_QUERY = { timeout: 1_500, tries: 2 } as const;

/**
 * Lookups of names at the same time. Each getaddrinfo takes a thread of libuv's pool, which serves
 * in the order of arrival: more would keep other lookups of this process waiting.
 */
export const MAX_OPEN_LOOKUPS = 4;

// The static list and its file.

/**
 * Addresses taken of one name. A name with more is a mistake or an attack, and a join needs one
 * peer that answers.
 */
export const MAX_ADDRESSES_PER_NAME = 64;

/** Size of the peers file: many times what its entries take. */
export const MAX_PEERS_FILE_BYTES = 1024 * 1024;

/** Entries read of the peers file: more than a join ever dials. */
export const MAX_PEERS_FILE_ENTRIES = 1_024;

/** Wrong lines that are logged each. A file that is no list must not fill the log. */
export const MAX_LOGGED_LINES = 10;

/**
 * How often the peers file is looked at, with stat. inotify does not see changes on NFS, nor a file
 * that an editor renamed into place.
 */
export const PEERS_FILE_POLL_MS = 1_000;

// HTTP.

/**
 * Time and size of one answer. The time is shorter than `LIST_MS` of membership, which all URLs
 * share: a silent host must not cost the answers of the others.
 */
export const PAGE_LIMITS = { timeoutMs: 3_000, maxBytes: 256 * 1024 } as const;

/** Peers read from one answer, and addresses of each: more than a join needs. */
export const MAX_PAGE_PEERS = 256;
export const MAX_PAGE_ADDRESSES = 16;

/** Characters of a peer id: an RSA key's has 46, an Ed25519 key's 52, as a CID 62. */
export const MAX_PEER_ID_LENGTH = 128;

// mDNS.

/** Sockets. A host with more links has one per container or tunnel, with no other host on it. */
export const MAX_MDNS_LINKS = 16;

/**
 * Validity that our records name, in seconds. It is libp2p's own, for other programs that read the
 * records: this node keeps peers for `MDNS_PEER_MS`, because it asks less often.
 */
export const MDNS_TTL_S = 120;

/** Records and questions read of one packet. */
export const MAX_MDNS_RECORDS = 256;

/** Peers that are remembered: more than hosts on a link. */
export const MAX_MDNS_PEERS = 1_024;

/** Addresses per peer, of one packet and remembered: a host has a few per link. */
export const MAX_MDNS_ADDRESSES = 8;

/**
 * How long a peer is remembered. A node that has peers asks every 150 to 450 s. A peer that was
 * forgotten in between answers the next question.
 */
export const MDNS_PEER_MS = 400_000;

/** How soon a new interface or address of this host is noticed. */
export const MDNS_UPDATE_MS = 5_000;

/** Time between two answers at least: RFC 6762, 6 allows each record once a second. */
export const MDNS_ANSWER_GAP_MS = 1_000;

/** Random wait before an answer, so that the hosts on a link do not all send at once. */
export const MDNS_ANSWER_DELAY_MS = { min: 20, max: 120 } as const;

/** Time between two questions at least. */
export const MDNS_QUESTION_GAP_MS = 1_000;

/** Answers that a question gets on a large link, on average: those of hundreds are a storm. */
export const MDNS_ANSWERS = 16;

/** Peers that are heard within this time are one change: many hosts may be switched on together. */
export const MDNS_CHANGE_MS = 200;

// The peer cache.

/** Peers that are kept: a single live peer is enough to meet all others. */
export const MAX_CACHED_PEERS = 512;

/** Addresses that are kept per peer. */
export const MAX_CACHED_ADDRESSES = 8;

/** How long a peer is kept that is not seen again: a month. */
export const CACHED_PEER_MS = 30 * 86_400_000;

/** Size of the cache file: several times what a full list takes. */
export const MAX_PEER_CACHE_BYTES = 2 * 1024 * 1024;

/** From the first change to the write: hosts that start together are all in the first file. */
export const PEER_CACHE_SETTLE_MS = 1_500;

/** Time between two writes for new peers at least. */
export const PEER_CACHE_GAP_MS = 30_000;

/** Time between two writes that only say that the same peers are alive: writes wear disks. */
export const PEER_CACHE_REFRESH_MS = 600_000;

/** Time for the last write: a disk that hangs must not hold up the end of the daemon. */
export const PEER_CACHE_STOP_MS = 2_000;
