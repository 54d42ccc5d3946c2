/** Pause before the store is watched again after an unexpected error. */
export const WATCH_RETRY_MS = 1_000;
