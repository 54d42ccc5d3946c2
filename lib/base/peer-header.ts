/** Names the libp2p peer that answers. Go Spegel does not send it. */
export const PEER_HEADER = 'X-Spegel-Peer';
