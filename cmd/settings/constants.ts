/** A check takes 0.2 s, and longer on a host under load or with a disk that hangs. */
export const CHECK_TIMEOUT_MS = 20_000;

/** Enough for a path and a message of each of some thousand registries. */
export const MAX_CHECK_BYTES = 4 * 1024 * 1024;
