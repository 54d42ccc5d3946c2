/** How long a run waits for the lock. It is longer than a run takes, unless that hangs. */
export const CERTS_D_LOCK_WAIT_MS = 10_000;

/** Pause between two tries to get the lock. */
export const CERTS_D_LOCK_RETRY_MS = 100;

/** An administrator's hosts.toml has a few hundred bytes. A larger file is none. */
export const MAX_FILE_BYTES = 1024 * 1024;

/** Bound on a hosts.toml with our block in it, of which a copy of `_default` may be a part. */
export const MAX_READ_BYTES = 3 * MAX_FILE_BYTES;
