/** Go Spegel's DHT: its `ProtocolPrefix("/spegel")` on Kademlia's own protocol name. */
export const DHT_PROTOCOL = '/spegel/kad/1.0.0';

/** Who pulls a digest now and from whom: our own. A change that older nodes cannot read gets a new number. */
export const TRACKER_PROTOCOL = '/spegel/tracker/1.0.0';

/** Prefix of the agent version that our nodes tell in identify; tells our peers from Go Spegel's. */
export const AGENT_PREFIX = 'spegel-hosts/';

/** Kademlia's k, as in go-libp2p-kad-dht: how many peers hold a record. */
export const REPLICATION = 20;

/** Where a peer of ours listens that announces nothing else: the default of `--registry-addr`. */
export const DEFAULT_REGISTRY_PORT = 5000;

const MINUTE_MS = 60_000;

/** How long a record of ours counts that does not say so itself. Go Spegel 0.3 uses the same. */
export const RECORD_VALIDITY_MS = 10 * MINUTE_MS;

/** Go Spegel 0.7 announces only every 15 minutes with two times two of slack: shorter would lose its content. */
export const FOREIGN_RECORD_VALIDITY_MS = 19 * MINUTE_MS;

/** What a peer may ask for: the longest `--advertise-ttl`. A host that dies is offered no longer than this. */
export const MAX_RECORD_VALIDITY_MS = 24 * 60 * MINUTE_MS;

/**
 * When an own record is sent again, as a part of its validity. Sending is acknowledged and a batch that failed
 * is sent again, so half is not needed; the rest is for a receiver that is slow or was away.
 */
export const REFRESH_AFTER = 0.7;

/** Multiaddrs kept and told per peer; Go Spegel asks each in turn and gets slower with every one. */
export const MAX_ADDRESSES_PER_PEER = 16;

/**
 * How much of its table a node tells a peer of ours at once: all of it in most fleets, so that a node that joins knows
 * everybody within a second. Some 25 KB.
 */
export const PEERS_TOLD = 256;

/** Streams per connection that we open at most: two kept ones, and slack for those that are being replaced. */
export const MAX_DHT_STREAMS = 32;
