/** Names the libp2p peer that answers. Go Spegel does not send it. */
export const PEER_HEADER = 'X-Spegel-Peer';

/**
 * Requests that containerd and its clients send because of our block in a hosts.toml carry it: only
 * so is a login that asks the mirror first told from a client that really means this registry.
 */
export const VIA_HEADER = 'X-Spegel-Via';

/** Its value. */
export const VIA_HOSTS_TOML = 'hosts.toml';
