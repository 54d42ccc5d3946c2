import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { identify } from '@libp2p/identify';
import type { ConnectionProtector, Libp2p } from '@libp2p/interface';
import { type KadDHT, kadDHT, passthroughMapper } from '@libp2p/kad-dht';
import { ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p, type Libp2pOptions } from 'libp2p';
import { DHT_PROTOCOL } from '../../lib/routing/constants.ts';

/** What is needed of node:test's TestContext; a script has one of its own. */
interface Cleanup {
  after(action: () => Promise<void> | void): void;
}

const base = {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
};

/**
 * A node with nothing of ours: the library's own DHT. It stands for Go Spegel, which speaks the
 * same DHT.
 */
export async function startLibraryNode(
  t: Cleanup,
  options: Pick<Libp2pOptions, 'connectionManager'> = {},
): Promise<Libp2p<{ dht: KadDHT }>> {
  const dht = kadDHT({
    protocol: DHT_PROTOCOL,
    clientMode: false,
    peerInfoMapper: passthroughMapper,
    allowQueryWithZeroPeers: true,
  });
  const node = await createLibp2p({
    ...base,
    ...options,
    services: { identify: identify(), ping: ping(), dht },
  });
  t.after(() => node.stop());
  return node as unknown as Libp2p<{ dht: KadDHT }>;
}

/** A node that speaks no DHT until a test makes it; `connectionProtector` closes its network. */
export async function startRawNode(
  t: Cleanup,
  connectionProtector?: () => ConnectionProtector,
  options: Pick<Libp2pOptions, 'connectionMonitor' | 'nodeInfo'> = {},
): Promise<Libp2p> {
  const node = await createLibp2p({
    ...base,
    ...options,
    ...(connectionProtector === undefined ? {} : { connectionProtector }),
    services: { identify: identify(), ping: ping() },
  });
  t.after(() => node.stop());
  return node;
}

export async function connect(node: Libp2p, endpoint: string): Promise<void> {
  const [host, port] = endpoint.split(':');
  await node.dial(multiaddr(`/ip4/${host}/tcp/${port}`), { signal: AbortSignal.timeout(5_000) });
}
