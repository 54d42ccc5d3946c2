// Finding ingests

/**
 * Ingests that are looked at. containerd has a few at once, and keeps those of failed pulls for a
 * day.
 */
export const MAX_INGESTS = 4_096;

/**
 * How long to look for the file `ref` of a new ingest directory. containerd writes it microseconds
 * after it makes the directory.
 */
export const REF_WAIT_MS = 5_000;

/**
 * The mtime of a directory moves in steps of a few milliseconds. A directory that changed this
 * shortly before it was listed may have changed again with the same mtime.
 */
export const DIRECTORY_SETTLED_MS = 50;

/** How often the directory is listed while a request waits for a download to begin. */
export const BEGIN_POLL_MS = 20;

/**
 * containerd writes `startedat` and `updatedat` one after the other when an ingest begins. A larger
 * difference between their times comes from a writer that was closed.
 */
export const BEGIN_TICK_MS = 50;

/**
 * How long the size of a seen ingest is remembered. Before containerd 2.1 no event tells of a layer
 * until its whole image is there, which takes as long as the pull.
 */
export const REMEMBER_SIZE_MS = 60 * 60_000;
export const MAX_REMEMBERED_SIZES = 10_000;

// Reading ingests

/** An ingest that has not grown for this long is stalled, unless the settings say otherwise. */
export const DEFAULT_STALL_MS = 2_000;

/**
 * How often an ingest's file is looked at while a reader waits for its bytes. Each host of a chain
 * adds half of this to the delay on average. A look takes 20 µs.
 */
export const FILE_LOOK_MS = 10;

/** How often a stalled ingest with waiting readers is checked for a pull that has failed. */
export const ABANDONED_LOOK_MS = 50;

/**
 * Ingests that are open for readers. Each has a descriptor, and a timer while a reader waits.
 * containerd pulls three layers of an image at once.
 */
export const MAX_OPEN_INGESTS = 256;

// Judging ingests

/** Ingests that are watched. Each has a descriptor. */
export const MAX_WATCHED = 256;

/** How often a watched ingest is looked at. A look takes 50 µs. */
export const JUDGE_LOOK_MS = 250;

/** The same while a request waits for the outcome. */
export const SETTLE_POLL_MS = 20;

/**
 * A full ingest that is not a blob after this time is hashed: its commit waits for the disk or has
 * failed.
 */
export const COMMIT_MS = 1_000;

/** The same while a request waits for the outcome. */
export const URGENT_COMMIT_MS = 100;

/** Bytes that are hashed at once. This blocks the event loop for a millisecond at most. */
export const HASH_SLICE_BYTES = 256 * 1024;

/** How long a digest with wrong bytes is not shared: long enough for all retries of a rollout. */
export const BAD_MS = 60 * 60_000;
export const MAX_BAD = 1_024;

// Discarding ingests with wrong bytes

/**
 * An ingest that has not grown for this long may be left behind by a containerd that was killed.
 */
export const WRITER_SILENT_MS = 2_000;

/** Pauses between two attempts to discard an ingest. */
export const MIN_DISCARD_PAUSE_MS = 100;
export const MAX_DISCARD_PAUSE_MS = 5_000;

/** A pull may write for this long. An ingest that it leaves behind later ends with its lease. */
export const DISCARD_GIVE_UP_MS = 60 * 60_000;

/** Digests that are being discarded: as many as are remembered as bad. */
export const MAX_DISCARDS = MAX_BAD;
