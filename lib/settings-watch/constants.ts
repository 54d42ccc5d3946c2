/**
 * Longest time between two checks of settings that are in the desired state. A directory watch may
 * miss a change.
 */
export const CHECK_EVERY_MS = 30_000;

/** The unit has repaired the settings by then, also on a busy host. */
export const REPAIR_DEADLINE_MS = 10_000;

/** The unit of the settings starts after this service, and may be restarting. */
export const UNIT_START_MS = 30_000;

/**
 * Pauses between repairs. They double from `minMs` to `maxMs`: two programs that write the same
 * files would answer each other for ever. After `quietMs` without drift they begin anew.
 */
export const REPAIR_PAUSES = { minMs: 5_000, maxMs: 300_000, quietMs: 600_000 } as const;

/**
 * Share of one CPU that checks may take. Another program may write beside the settings all day, and
 * then each of its writes wakes a check. `burstMs` is a few checks of a host with few registries.
 */
export const CHECK_BUDGET = { share: 0.04, burstMs: 1_000 } as const;

/** After this time without a change of a directory, a program has finished writing. */
export const SETTLE_MS = 1_000;

/** A program that writes all the time is checked after this time all the same. */
export const MAX_SETTLE_MS = 5_000;

/** How often a check that found drift starts again because files changed under it. */
export const MAX_CHECKS_IN_A_ROW = 2;

/** More registries than a host has. Of further ones only the number is watched. */
export const MAX_WATCHED_ENTRIES = 2_000;

/** As many paths as a person reads in a log line. */
export const MAX_LOGGED_PATHS = 5;
