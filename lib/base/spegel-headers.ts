/**
 * The HTTP headers of Spegel, and a status with a meaning of its own. Go Spegel knows only
 * `X-Spegel-Mirrored`.
 */

/** Marks a peer's request: it gets local content only, so that requests never go in circles. */
export const MIRRORED_HEADER = 'X-Spegel-Mirrored';

/** Names the libp2p peer that answers. Go Spegel does not send it. */
export const PEER_HEADER = 'X-Spegel-Peer';

/** Asks also for content that the peer is still downloading (in-flight sharing). */
export const INFLIGHT_HEADER = 'X-Spegel-Inflight';

/** How many bytes, from 0 on, a peer has of content that it is still downloading. */
export const AVAILABLE_HEADER = 'X-Spegel-Available';

/** Answers a request for in-flight content: the bytes that were sent of it are wrong. */
export const SPOILT_STATUS = 410;

/**
 * Proves that the peer that sends a request has the network's key: `v1 <unix seconds of expiry>
 * <hex>`.
 */
export const SIGNATURE_HEADER = 'X-Spegel-Signature';

/** Proves that the peer that answers for a tag has the network's key. */
export const PROOF_HEADER = 'X-Spegel-Proof';

/**
 * Stands in the requests that a client sends because of our block in a hosts.toml. It tells a login
 * that asks the mirror first from a client that means this registry.
 */
export const VIA_HEADER = 'X-Spegel-Via';

/** The value of VIA_HEADER. */
export const VIA_HOSTS_TOML = 'hosts.toml';
