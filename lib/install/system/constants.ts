/** systemd answers at once, except a stop: it waits up to TimeoutStopSec of our units, 30 s. */
export const SYSTEMCTL_TIMEOUT_MS = 60_000;

/** A person that waits for a unit does not notice a delay of this length. */
export const UNIT_POLL_MS = 250;

/** A person that waits sees a line at least this often, and knows that nothing hangs. */
export const PROGRESS_INTERVAL_MS = 1_000;

/** More registries than a host mirrors: a directory with more entries is not read to its end. */
export const MAX_REGISTRY_DIRECTORIES = 10_000;
