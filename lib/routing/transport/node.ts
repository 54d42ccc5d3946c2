import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type Identify, type IdentifyPush, identify, identifyPush } from '@libp2p/identify';
import type {
  Connection,
  ConnectionProtector,
  Libp2p,
  PrivateKey,
  StreamHandler,
} from '@libp2p/interface';
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht';
import { ping } from '@libp2p/ping';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { isUnspecified, type ListenAddress } from '../../base/address.ts';
import { messageOf, SpegelError } from '../../base/errors.ts';
import { tcpMultiaddr } from '../../base/multiaddr.ts';
import {
  AGENT_PREFIX,
  DHT_PROTOCOL,
  MAX_DHT_STREAMS,
  PROVIDERS_PROTOCOL,
  REPLICATION,
  TRACKER_PROTOCOL,
} from '../constants.ts';
import { InboundLimitGater } from './connection-gater.ts';
import {
  KAD_FIRST_WALK_MS,
  KAD_PREFIX_BITS,
  KAD_REPROVIDE_MS,
  KAD_WALK_QUERIES,
  MAX_DHT_STREAMS_INBOUND,
  MAX_INBOUND_PENDING,
  MAX_INBOUND_PER_SECOND_PER_IP,
  MAX_KAD_PINGS_QUEUED,
  MAX_PARALLEL_DIALS,
  MAX_PEER_CONNECTIONS,
  MAX_PROVIDERS_STREAMS_INBOUND,
  MAX_TRACKER_STREAMS_INBOUND,
  PEER_DIAL_TIMEOUT_MS,
} from './constants.ts';
import { type Clone, instanceNoise } from './instance-noise.ts';
import { keepAliveYamux } from './keepalive-yamux.ts';
import { guardedTcp } from './tcp.ts';

export interface NodeSettings {
  readonly version: string;
  readonly routerAddress: ListenAddress;
}

export interface Handlers {
  /** Answers DHT requests instead of kad-dht. */
  readonly dht: StreamHandler;
  /** Answers questions for the providers of many keys. */
  readonly providers: StreamHandler;
  /** Undefined: this node does not announce that it speaks the tracker protocol. */
  readonly tracker: StreamHandler | undefined;
  /** Called when another process has this node's key. */
  readonly clone: (clone: Clone) => void;
}

/**
 * Creates and starts libp2p with the protocols of Go Spegel: TCP, Noise, yamux, identify, ping, and
 * Kademlia in server mode. `announced` returns the addresses for each identify. With a `protector`
 * the network is closed. Throws SpegelError ERR_LISTEN.
 */
export async function startNode(
  privateKey: PrivateKey,
  settings: NodeSettings,
  announced: () => readonly string[],
  handlers: Handlers,
  protector?: ConnectionProtector,
): Promise<Libp2p> {
  const node = await createLibp2p({
    start: false,
    privateKey,
    nodeInfo: { userAgent: `${AGENT_PREFIX}${settings.version}` },
    addresses: {
      listen: listenAddresses(settings.routerAddress),
      announceFilter: () => announced().map((address) => multiaddr(address)),
    },
    transports: [guardedTcp()],
    connectionEncrypters: [instanceNoise(handlers.clone)],
    streamMuxers: [keepAliveYamux()],
    ...(protector === undefined ? {} : { connectionProtector: () => protector }),
    connectionManager: {
      maxConnections: MAX_PEER_CONNECTIONS,
      inboundConnectionThreshold: MAX_INBOUND_PER_SECOND_PER_IP,
      maxIncomingPendingConnections: MAX_INBOUND_PENDING,
      maxParallelDials: MAX_PARALLEL_DIALS,
      maxDialQueueLength: MAX_PEER_CONNECTIONS,
      dialTimeout: PEER_DIAL_TIMEOUT_MS,
    },
    connectionGater: new InboundLimitGater(),
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      identifyPush: identifyPush({ runOnSelfUpdate: false }),
      ping: ping(),
      dht: kadDHT(dhtSettings),
    },
  });
  try {
    // Before the start: a peer identifies this node only once, so the first must see the protocols.
    await node.handle(PROVIDERS_PROTOCOL, handlers.providers, {
      maxInboundStreams: MAX_PROVIDERS_STREAMS_INBOUND,
    });
    if (handlers.tracker !== undefined) {
      await node.handle(TRACKER_PROTOCOL, handlers.tracker, {
        maxInboundStreams: MAX_TRACKER_STREAMS_INBOUND,
      });
    }
    await node.start();
    await node.handle(DHT_PROTOCOL, handlers.dht, {
      force: true, // kad-dht has registered its own handler
      maxInboundStreams: MAX_DHT_STREAMS_INBOUND,
      maxOutboundStreams: MAX_DHT_STREAMS,
    });
  } catch (error) {
    await node.stop();
    throw listenError(settings.routerAddress, error);
  }
  return node;
}

/** Sends all connected peers the addresses that are announced now. Never rejects. */
export async function pushAddresses({ services }: Libp2p): Promise<void> {
  await (services.identifyPush as IdentifyPush).push();
}

/**
 * Identifies a connected peer once more; the result comes as an event. Rejects when the peer does
 * not answer.
 */
export async function identifyPeer({ services }: Libp2p, connection: Connection): Promise<void> {
  await (services.identify as Identify).identify(connection);
}

const dhtSettings: Parameters<typeof kadDHT>[0] = {
  protocol: DHT_PROTOCOL,
  clientMode: false,
  // The default drops private addresses, so nothing would be found on a LAN.
  peerInfoMapper: passthroughMapper,
  kBucketSize: REPLICATION,
  prefixLength: KAD_PREFIX_BITS,
  pingNewContactMaxQueueSize: MAX_KAD_PINGS_QUEUED,
  // Otherwise the first query waits for the first peer without a limit.
  allowQueryWithZeroPeers: true,
  reprovide: { interval: KAD_REPROVIDE_MS },
  initialQuerySelfInterval: KAD_FIRST_WALK_MS,
  alpha: KAD_WALK_QUERIES,
  disjointPaths: 1,
};

/**
 * All interfaces need one socket per family. Without IPv6 in the kernel the second cannot be
 * opened.
 */
function listenAddresses({ host, port }: NodeSettings['routerAddress']): string[] {
  const all = ['0.0.0.0', ...(hasIPv6() ? ['::'] : [])];
  const hosts = host === '' || (isUnspecified(host) && isIPv6(host)) ? all : [host];
  return hosts.map((ip) => tcpMultiaddr(ip, port));
}

function hasIPv6(): boolean {
  return Object.values(networkInterfaces()).some((infos) =>
    infos?.some(({ family }) => family === 'IPv6'),
  );
}

const REASONS: Record<string, string> = {
  EADDRINUSE: 'it is in use by another process',
  EADDRNOTAVAIL: 'no interface has this address',
  EACCES: 'permission denied',
};

function listenError({ host, port }: NodeSettings['routerAddress'], error: unknown): unknown {
  const message = messageOf(error);
  const code = Object.keys(REASONS).find((name) => message.includes(name));
  if (code === undefined) return error;
  const came = `${REASONS[code]} (${code})`;
  return new SpegelError(
    'ERR_LISTEN',
    `router address ${isIPv6(host) ? `[${host}]` : host}:${port}: expected a free TCP port of this host, but ${came}; stop the other process or choose another port with --router-addr`,
    { cause: error },
  );
}
