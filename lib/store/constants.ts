/**
 * Events that may wait for one watcher. A slower watcher gets a snapshot in their place, so that
 * its memory stays bounded.
 */
export const MAX_WAITING_EVENTS = 1_000;

/** Levels of nested indexes that are followed. Real images have two: an index and its manifests. */
export const MAX_INDEX_DEPTH = 4;

/**
 * How long to wait after a change of an image layout. Tools write its blobs and index in many
 * steps.
 */
export const LAYOUT_DEBOUNCE_MS = 150;

/**
 * When to read an image layout again without a seen change. A watch misses changes on network file
 * systems.
 */
export const LAYOUT_RESCAN_MS = 30_000;

/** When to look again for an image layout that is not there: an absent directory has no watch. */
export const LAYOUT_ABSENT_MS = 1_000;

/** When to read again after a disk error, or an index.json that is only half written. */
export const LAYOUT_RETRY_MS = 500;

/**
 * How long an open file serves further requests. containerd asks for the ranges of a layer, and the
 * hosts of a deployment for the same layer, within it.
 */
export const KEPT_OPEN_MS = 5_000;

/** Files kept open for that: the layers of the few images that are pulled at the same time. */
export const MAX_KEPT_OPEN = 64;

/**
 * Reads of files at once. libuv's pool has four threads: one stays free for opening a file, also
 * while clients of a blob wait for a slow disk.
 */
export const MAX_READS_AT_ONCE = 3;
