/** A longer silence looks as if the program hangs. */
export const QUIET_MS = 10_000;

/** A line names this many missing hosts, and only counts the others. */
export const MAX_NAMED_HOSTS = 10;
