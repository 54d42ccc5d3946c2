/** The oldest containerd that the tests run with. */
export const OLDEST_CONTAINERD = [1, 6] as const;

/** `containerd config dump` loads a few files and prints them. */
export const CONFIG_DUMP_TIMEOUT_MS = 10_000;
export const MAX_CONFIG_DUMP_BYTES = 16 * 1024 * 1024;

/** A Unix socket accepts a connection at once, or no process listens on it. */
export const ACCEPT_TIMEOUT_MS = 1_000;

/** A running containerd answers in milliseconds, and the start of spegel.service waits for this. */
export const PROXY_READ_TIMEOUT_MS = 2_000;

/** The clock of file times and the clock of process start times differ by less. */
export const CLOCK_MARGIN_MS = 1_000;
