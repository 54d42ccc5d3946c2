/** The policy numbers of the wait for other hosts' clean-up. */

/** For connecting, head and body of one probe together. Go Spegel waits as long. */
export const PROBE_TIMEOUT_MS = 1_000;

/** A probe's answer is one line; more bytes come from another program. */
export const MAX_PROBE_ANSWER_BYTES = 64 * 1024;

/** Characters of a host's reason for not being done. */
export const MAX_REASON_LENGTH = 300;

/** Addresses that are probed at once. Go Spegel's limit. */
export const MAX_CONCURRENT_PROBES = 10;

/** A resolver that says nothing for so long, while names are looked up, counts as hanging. */
export const RESOLVER_SILENCE_MS = 5_000;

/**
 * Addresses of all names together, more than any fleet has. A round of so many dead addresses takes
 * 7 minutes.
 */
export const MAX_TARGETS = 4096;
