// Requests to upstream registries

/** Largest body of an answer. A token has at most 8 KiB. */
export const MAX_BODY_BYTES = 64 * 1024;

/** Redirects that a request follows. Go's client follows ten. A registry needs one or two. */
export const MAX_REDIRECTS = 5;

/**
 * How long one address is tried before the next one, where packets of one address family are lost.
 * An address with a slower connection is tried again at the end.
 */
export const ADDRESS_FAMILY_MS = 1_200;

/** A DNS query, and how often it is sent. All attempts fit into the time of a probe. */
export const DNS_QUERY_MS = 1_000;
export const DNS_QUERY_TRIES = 2;

/** Addresses of a name that are tried. Docker Hub has eight. */
export const MAX_HOST_ADDRESSES = 8;

// The probe of a registry

/**
 * For each of the two requests. A slow registry takes 4 s, and containerd alone waits longer for a
 * silent one.
 */
export const REGISTRY_PROBE_MS = 5_000;

/** Pause between the two. A registry that restarts or reloads refuses connections for less. */
export const REGISTRY_PROBES_APART_MS = 1_000;

/** A refused connection, and a name that does not exist, are known within this time. */
export const DEFINITE_FAILURE_MS = 1_000;

/** How long a good result counts: for all manifests of one image, and not for a tag that moves. */
export const THERE_KEPT_MS = 5_000;

/** How long a bad result counts. A probe of a silent registry takes seconds. */
export const GONE_KEPT_MS = 10_000;

/** How long an endpoint counts as reached before: practically as long as the process lives. */
export const REACHED_KEPT_MS = 365 * 24 * 60 * 60_000;

/** Registries and endpoints to remember. containerd names a few, but a request can name any. */
export const MAX_PROBED_REGISTRIES = 64;
export const MAX_REACHED_ENDPOINTS = 1_024;

// The probe of a tag

/** With the exchange of a token. containerd waits for the result. */
export const TAG_PROBE_MS = 2_000;

/** How long a good result counts: for pulls of the same moment. Registries count requests. */
export const TAG_PROBE_KEPT_MS = 10_000;

/** How long a bad result counts: the next pull must notice that the registry is back. */
export const FAILED_TAG_PROBE_KEPT_MS = 2_000;
export const MAX_PROBED_TAGS = 1_024;

// Attempts of containerd to pull a tag

/**
 * How long an attempt is remembered. One that is resolved is kept for longer: until there are too
 * many.
 */
export const ATTEMPT_KEPT_MS = 10 * 60_000;

/**
 * An attempt without a word of the upstream for this long has failed, even if its lease is still
 * there. containerd before 2.3 waits for a silent upstream for ever, and a client that is killed
 * leaves its lease behind. A slow upstream needs less for the three answers to a HEAD with a token.
 */
export const STUCK_MS = 90_000;

/**
 * How long the fleet answers in place of the upstream before containerd tries the upstream again.
 */
export const UPSTREAM_RETRY_MS = 10 * 60_000;

/** Time from the lease of a pull to its request: milliseconds, more on a busy host. */
export const LEASE_JUST_NOW_MS = 2_000;

/** The same with two silent targets in front: containerd waits 30 s for a connection to each. */
export const LEASE_LATE_MS = 60_000;

/** Attempts to remember per tag. Ten containers that start at once need ten. */
export const MAX_ATTEMPTS_PER_TAG = 32;
export const MAX_ATTEMPTED_TAGS = 1_024;

// The decision whether the fleet answers a tag

/** Two denied pulls this far apart prove that the credential of containerd does not work. */
export const DENIALS_APART_MS = 10_000;

/**
 * A pull that ended earlier was cancelled, if the own probe timed out. containerd waits for a
 * silent upstream for at least 30 s.
 */
export const MIN_FAILED_PULL_MS = 10_000;

// The log of failed pulls

/** Pause between two log lines for one registry. */
export const WARN_INTERVAL_MS = 60_000;

/** Registries to remember. Hosts pull from a few. */
export const MAX_LOGGED_REGISTRIES = 100;
