/** The policy numbers of membership: how peers are met, checked and lost. */

// Bootstrap: how a node that is alone meets its first peer.

/** Waits between rounds of dialling: at once in a lab, no load on a network that is down. */
export const BOOTSTRAP_RETRY = { minMs: 50, maxMs: 10_000 } as const;

/** Time for one bootstrapper's list. A resolver that hangs must not delay the other lists. */
export const LIST_MS = 5_000;

/** Addresses tried of one list per round. Of a longer list each round takes others. */
export const MAX_ADDRESSES_PER_LIST = 128;

/**
 * When a round ends. Dials without an answer continue after it, and addresses that refused are
 * tried again: all other hosts of a peer cache may have moved.
 */
export const BOOTSTRAP_ROUND_MS = 1_000;

/** Dials at the same time per list: those of several rounds must not fill libp2p's dial queue. */
export const DIALS_PER_LIST = 6;

/**
 * How long an address is left out that did not answer: each dial of it takes a place for seconds.
 */
export const SILENT_ADDRESS_MS = 10_000;

/** Addresses that are left out at the same time. */
export const MAX_SILENT_ADDRESSES = 1_000;

/**
 * How long a connected peer may take to enter the routing table, which its identify does. A peer
 * that is not there by then speaks another protocol.
 */
export const ENTER_TABLE_MS = 2_000;
export const ENTER_TABLE_POLL_MS = 10;

/**
 * Mean time after which a node that has peers dials its lists again, so that two halves of a fleet
 * that do not know each other find together.
 */
export const LISTS_RECHECK_MS = 300_000;

/** When a node without peers logs it. Hosts that start together miss each other at first. */
export const ALONE_WARN_MS = 3_000;

/** How soon a node notices that its last peer is gone or that a list has changed. */
export const TABLE_WATCH_MS = 500;

// Membership: which peers are in the routing table.

/**
 * Checks in a row that a peer must fail to leave the table. One failure may be a restart, a pause
 * or a lost packet.
 */
export const CHECKS_BEFORE_GONE = 3;

/** Mean time between two checks. */
export const CHECK_AGAIN_MS = 700;

/** Time for the answer to a check. Even a busy host answers sooner, unless it is frozen. */
export const CHECK_PING_MS = 2_500;

/** Time for a dial of membership. */
export const MEMBER_DIAL_MS = 3_000;

/** Dials of membership at the same time. More would wait in libp2p's queue until they time out. */
export const MAX_MEMBER_DIALS = 48;

/** For how long a peer that said goodbye is not offered, unless it comes back. */
export const DEPARTED_MS = 60_000;

/** Departed peers remembered. */
export const MAX_DEPARTED = 1_000;

/**
 * For how long a peer that said goodbye does not enter the table by a connection that it had then:
 * an identify that was on its way would bring it back. Shorter than `STAYS_AFTER_GOODBYE_MS`.
 */
export const LATE_IDENTIFY_MS = 18_000;

/**
 * When a peer that said goodbye and is still connected counts as a member again. A host that stops
 * lets running transfers end for ten seconds.
 */
export const STAYS_AFTER_GOODBYE_MS = 20_000;

/**
 * When a connected peer is asked to identify itself once more, if it is not in the table. libp2p
 * asks only once.
 */
export const IDENTIFY_AGAIN_MS: readonly number[] = [2_000, 6_000, 15_000];

/** Time from an identify's answer to its event. */
export const IDENTIFY_EVENT_MS = 1_000;

/**
 * Time for all goodbyes together. Stopping must be quick, and a peer that misses the goodbye finds
 * out by itself.
 */
export const GOODBYE_MS = 2_000;

/** Goodbyes at the same time. */
export const MAX_GOODBYES_AT_ONCE = 64;

// Lost peers: those that went without a goodbye.

/** After this time a lost host is forgotten; if it ever returns it joins as any other. */
export const LOST_PEER_FORGET_MS = 24 * 3_600_000;

/** Lost peers remembered. */
export const MAX_LOST_PEERS = 1_000;

/** Lost peers that are dialled per turn, and the waits between two turns. */
export const LOST_PEERS_PER_TURN = 4;
export const LOST_PEERS_RETRY = { minMs: 1_000, maxMs: 30_000 } as const;

// Discovery: which other peers a peer knows.

/** Waits between questions to a random peer: short while answers bring new peers. */
export const DISCOVERY_RETRY = { minMs: 250, maxMs: 30_000 } as const;

/** Peers dialled at the same time of one answer. */
export const DISCOVERY_DIALS = 16;

/**
 * About how many of the peers that join are asked which peers they know: all of the first ones,
 * then an ever smaller random share.
 */
export const NEWCOMERS_ASKED = 8;

/**
 * Above this share of unknown peers in a full answer, the whole key space is asked for part by
 * part: the regular questions would take too many turns.
 */
export const UNKNOWN_SHARE = 0.1;

/**
 * Share of a full answer that one part of the key space is sized for: parts hold different numbers
 * of peers, and an answer that is too full leaves some out.
 */
export const EXPECTED_SHARE = 0.4;

/** Parts of the key space. 10,000 peers, the most that the routing table takes, need 100. */
export const MAX_PARTS = 128;

// Referrals: peers that another peer names.

/** Addresses dialled per referred peer: a host has one per family. */
export const ADDRESSES_PER_REFERRAL = 2;

/**
 * Dials per referring peer within the period. A fleet of ten thousand is learned from a hundred
 * peers.
 */
export const DIALS_PER_REFERRER = 512;
export const REFERRER_PERIOD_MS = 60_000;

/**
 * Failed dials after which a referring peer is ignored, if most of its referrals failed, and for
 * how long.
 */
export const FAILURES_PER_REFERRER = 24;
export const REFERRER_IGNORE_MS = 120_000;

/** Referring peers that are counted: more than a fleet has, since addresses can be made up. */
export const MAX_REFERRERS = 10_000;

// Own addresses: whether peers reach the announced one.

/** Time for a trial connection. A lost first packet is sent again after a second. */
export const TRIAL_MS = 2_000;

/** When a trial is repeated: a route may break, or be repaired, without a change on this host. */
export const TRIAL_AGAIN_MS = 30_000;

/** Peers per trial, so that no single peer decides that lies or is cut off itself. */
export const PEERS_PER_TRIAL = 8;

/** Connections tried per peer of a trial: the peer's claims must not cause any number of them. */
export const ENDPOINTS_PER_TRIAL = 4;

// What libp2p itself remembers of peers.

/**
 * How often libp2p forgets peers that are gone: it still writes about them just after their end.
 */
export const CLEANUP_MS = 5_000;

/** Peers without a connection that libp2p may know between two clean-ups. */
export const MAX_FORGETTABLE = 1_000;
