/** The policy numbers of this room, by subject. */

// ---- Asking peers: how long, and how many at once

/** A peer on the LAN answers in 1 to 5 ms, a loaded one in 20; Go Spegel gives its peers 100. */
export const RACE_HEDGE_AFTER_MS = 50;

/**
 * A peer that still gets the content itself has good reasons to be silent: others are asked only
 * when its silence looks like death.
 */
export const INFLIGHT_HEDGE_AFTER_MS = 500;

/**
 * What a race may take beyond the resolve timeout. It is five silences long: by then
 * 1 + 2 + 4 + 8 … peers have been asked, and the last of them had 50 ms and more to answer.
 */
export const RACE_HEDGE_BOUND_MS = 250;

/** A shorter silence says nothing about a peer that was asked late. */
export const DEAD_AFTER_MS = 200;

/** Connections of one race at once: enough to find one live peer among many dead ones. */
export const MAX_PARALLEL = 16;

/** Failed attempts in the detail of an error: more than this nobody reads. */
export const MAX_ATTEMPTS_TOLD = 16;

/** Kademlia returns at most 20 closest peers with their records; more than this is a flood. */
export const MAX_KNOWN_CANDIDATES = 64;

/** A peer announces one address per family; a record with more than this is made up. */
export const MAX_ADDRESSES = 8;

// ---- Small blobs, which are read whole and checked before their first byte is answered

/** Configs and most layers of small images are below it. */
export const SMALL_BLOB_BYTES = 1024 * 1024;

/**
 * For all peers together, from the first answer on, while containerd waits for the first byte of a
 * small blob: 1 MiB at 16 Mbit/s.
 */
export const SMALL_BLOB_MS = 500;

/** The same when there is no upstream to ask instead: 1 MiB at 4 Mbit/s. */
export const SMALL_BLOB_ALONE_MS = 2_000;

// ---- When a peer is left for being slow, while the upstream answers

/**
 * Most upstreams are faster than this, and a pull must not take longer for having found a peer.
 * Holds for peers that have the whole content: one that still gets it may have a slow start itself.
 */
export const FLOOR_BYTES_PER_S = 512 * 1024;

/** How much waiting is judged by that floor at once. TCP's slow start takes less. */
export const FLOOR_WINDOW_MS = 1_500;

/** How much waiting `--min-source-rate` judges at once. In a shorter one a busy link looks slow. */
export const MIN_SOURCE_RATE_WINDOW_MS = 5_000;

// ---- Content that is still being downloaded: how long to wait for it

/**
 * Content that is starved by others on the same link is waited for this many times as long. A wait
 * that ends too early costs a copy from the upstream for each host.
 */
export const STARVED_WAITS = 5;

/**
 * What the next host needs to take a stalled leader's place: it ends its body, its containerd asks
 * again, goes upstream, and writes the first MiB.
 */
export const TAKE_OVER_MS = 500;

/** Each host further down waits this much longer than the one before it, and stays behind it. */
export const STAGGER_MS = 150;

/** A tracker that makes up a larger depth must not make anybody wait for long. */
export const MAX_STAGGERS = 6;

/** How often a host that waits for starved content checks whether waiting is still worth it. */
export const STARVED_RECHECK_MS = 250;

/** Kept back of a wait for a first source that gives nothing, so that a second one can be tried. */
export const SECOND_TRY_MS = 400;

/** A host further from the leader tries later: those before it have found another source. */
export const BEHIND_MS = 250;

/**
 * How long a race for the rest of a body waits. With the silence before it and the tracker's
 * answer, a hand-over takes a second.
 */
export const HAND_OVER_WAIT_MS = 400;

/** A peer on the LAN says within a few ms that it lives; a dead one is noticed in 1.2 s in all. */
export const INFLIGHT_PROBE_MS = 400;

/** After a wait in vain there is none for this long: a pull of 60 layers must not wait 60 times. */
export const WAITING_OFF_MS = 60_000;

// ---- The circuit breaker over the whole fleet

/** Three peers that fall silent in mid-body: a healthy fleet loses as much in a bad moment. */
export const TOLERATED_LOSS_MS = 3_000;

/** So that a fleet that was bad for long gets another chance after half a minute. */
export const MAX_LOSS_MS = 6_000;

/** Of each millisecond that passes, this much loss is forgiven. */
export const FORGIVEN_MS_PER_MS = 0.1;

// ---- What follows from wrong bytes (suspect-checks.ts, verdicts.ts)

/** Between two checks of suspects: they must not compete with pulls. */
export const CHECK_PAUSE_MS = 5_000;
export const MAX_WAITING_CHECKS = 64;
export const MAX_CHECK_MS = 5 * 60_000;
export const MAX_CHECKED_BYTES = 256 * 1024 * 1024;

/** A digest of which wrong bytes came is left to the upstream for this long, as for a liar. */
export const SPOILT_MS = 60 * 60_000;

/** Entries of a hundred bytes; more than a handful is an attack. */
export const MAX_SPOILT = 1_024;

/**
 * How long the end of a body waits until its download is watched. To find the download takes some
 * ms, on a busy host a hundred times that.
 */
export const FOLLOW_MS = 1_000;

/**
 * What a pull may wait until containerd is done with the one before. That takes 0.2 s, and ten
 * times as long on a host without a free CPU.
 */
export const CONTAINERD_SETTLE_MS = 2_000;

// ---- What is remembered of this host's own pulls

/** The layers of the images that are being pulled, with room. */
export const MAX_CONTRIBUTION_DIGESTS = 1_024;
export const MAX_CONTRIBUTORS = 64;
export const MAX_REPOSITORIES = 8;

/** A layer of many GB takes less, and what a failed pull left is resumed within it. */
export const CONTRIBUTION_MEMORY_MS = 60 * 60_000;

/** About 1 MiB; some 200 images with 20 layers each. */
export const MAX_KNOWN_SIZES = 4_096;

/** A registry that is not known to be away may well be there: a moment to find out. */
export const ASK_UPSTREAM_MS = 1_000;
