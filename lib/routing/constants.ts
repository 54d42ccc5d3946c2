/**
 * What more than one room of routing agrees on. The policy numbers of a room are in its own file.
 */

/** Go Spegel's DHT: its `ProtocolPrefix("/spegel")` before the name of Kademlia's protocol. */
export const DHT_PROTOCOL = '/spegel/kad/1.0.0';

/**
 * The tracker protocol, which only our nodes speak. A change that older nodes cannot read needs a
 * new number.
 */
export const TRACKER_PROTOCOL = '/spegel/tracker/1.0.0';

/**
 * Asks for the providers of many keys at once; only our nodes speak it. A change that older nodes
 * cannot read needs a new number.
 */
export const PROVIDERS_PROTOCOL = '/spegel/providers/1.0.0';

/**
 * Prefix of the agent version that our nodes tell in identify. It distinguishes them from Go
 * Spegel's.
 */
export const AGENT_PREFIX = 'spegel-hosts/';

/** Kademlia's k, as in go-libp2p-kad-dht: how many peers hold a provider record. */
export const REPLICATION = 20;

/**
 * Port of the registry of a peer of ours that announces none: the default of `--registry-addr`.
 */
export const DEFAULT_REGISTRY_PORT = 5000;

/**
 * Multiaddrs kept and told per peer. Go Spegel tries each in turn, so each one makes it slower.
 */
export const MAX_ADDRESSES_PER_PEER = 16;

/**
 * Peers that a node tells a peer of ours in one answer: the whole routing table of most fleets, so
 * that a node that joins knows all peers within a second. About 25 KB.
 */
export const PEERS_TOLD = 256;

/** DHT streams that we open per connection: two that stay open, and room for their successors. */
export const MAX_DHT_STREAMS = 32;
