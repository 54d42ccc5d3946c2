/** The policy numbers of base. */

/** How long this host's networks are remembered where addresses are counted. */
export const OWN_NETWORKS_MS = 10_000;

/**
 * For the lock of a daemon that was killed a moment ago: the kernel takes its process apart first.
 */
export const LOCK_WAIT_MS = 1_000;
export const LOCK_RETRY_MS = 50;

/** How often memory is checked for a trim. */
export const TRIM_CHECK_MS = 5_000;
/** Growth since the last trim that is worth a walk through all memory of malloc. */
export const TRIM_GROWTH_BYTES = 16 * 1024 * 1024;

/** No write takes as long: an older temporary file was left behind by a process that was killed. */
export const STALE_TEMPORARY_MS = 60_000;

/** Characters of another program's text that an error or a log line repeats. */
export const MAX_PRINTABLE_LENGTH = 100;

/** Characters of one field of a log line: the text of another host must not fill the journal. */
export const MAX_LOG_TEXT_LENGTH = 2_000;

/** Domains of a search list. glibc takes any number since 2.26, and Go takes all. */
export const MAX_SEARCH_DOMAINS = 6;
