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
import {
  AGENT_PREFIX,
  DHT_PROTOCOL,
  MAX_DHT_STREAMS,
  REPLICATION,
  TRACKER_PROTOCOL,
} from '../constants.ts';
import { InboundLimitGater } from './connection-gater.ts';
import { type Clone, instanceNoise } from './instance-noise.ts';
import { keepAliveYamux } from './keepalive-yamux.ts';
import { guardedTcp } from './tcp.ts';

export interface NodeSettings {
  readonly version: string;
  readonly routerAddress: ListenAddress;
}

export interface Handlers {
  /** Answers the DHT's messages in kad-dht's place. */
  readonly dht: StreamHandler;
  /** Undefined: this node is not seen as one that speaks the tracker protocol. */
  readonly tracker: StreamHandler | undefined;
  /** Another process has this node's key. */
  readonly clone: (clone: Clone) => void;
}

/** Every node knows and keeps every other one; the library's 300 would prune a larger fleet all the time. */
const MAX_CONNECTIONS = 10_000;
/** Per second and IP, 5 by default: hosts behind one NAT, or nodes on one machine, would be reset when they join. */
const MAX_CONNECTS_PER_IP = 500;
/** Handshakes at once, 10 by default: too few when a fleet is switched on. */
const MAX_PENDING = 500;
const MAX_PARALLEL_DIALS = 64;
/** Dialling includes three handshakes with a host that may be busy; a dead one must not hold a place for long. */
const DIAL_MS = 5_000;
/** Buckets split down to 16 bits, so that kad-dht's table holds every peer, while its queries stay at k peers each. */
const PREFIX_BITS = 16;
/** New peers are pinged before they enter kad-dht's table; its queue of 100 overflows when a fleet is met at once. */
const MAX_PINGS_QUEUED = 10_000;
/** Own records are refreshed by our advertiser; the library would send each by a query of its own. */
const NEVER_MS = 2 ** 31 - 1;
const MAX_INBOUND_STREAMS = 64;
/** A peer keeps one, and opens another while the old one is being reset. */
const MAX_TRACKER_STREAMS = 8;
/** kad-dht's own walks through the network find what asking for those closest to us does not; they may take their time. */
const FIRST_WALK_MS = 60_000;
const WALK_PARALLEL = 3;

/**
 * Creates and starts libp2p as Go Spegel runs it: TCP, Noise, yamux, identify, ping, Kademlia in server mode.
 * `announced` is asked whenever the addresses are told; with a `protector` the network is a closed one.
 * Throws SpegelError ERR_LISTEN.
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
      maxConnections: MAX_CONNECTIONS,
      inboundConnectionThreshold: MAX_CONNECTS_PER_IP,
      maxIncomingPendingConnections: MAX_PENDING,
      maxParallelDials: MAX_PARALLEL_DIALS,
      maxDialQueueLength: MAX_CONNECTIONS,
      dialTimeout: DIAL_MS,
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
    // Before the start: the first peer that identifies us must be told of it already, nobody asks twice.
    if (handlers.tracker !== undefined) {
      await node.handle(TRACKER_PROTOCOL, handlers.tracker, {
        maxInboundStreams: MAX_TRACKER_STREAMS,
      });
    }
    await node.start();
    await node.handle(DHT_PROTOCOL, handlers.dht, {
      force: true, // kad-dht has put its own handler there
      maxInboundStreams: MAX_INBOUND_STREAMS,
      maxOutboundStreams: MAX_DHT_STREAMS,
    });
  } catch (error) {
    await node.stop();
    throw listenError(settings.routerAddress, error);
  }
  return node;
}

/** Tells all that are connected which addresses are announced now, within a second or two. Never rejects. */
export async function pushAddresses({ services }: Libp2p): Promise<void> {
  await (services.identifyPush as IdentifyPush).push();
}

/** Asks a connected peer once more who it is; what it says comes as an event. Rejects when it does not answer. */
export async function identifyPeer({ services }: Libp2p, connection: Connection): Promise<void> {
  await (services.identify as Identify).identify(connection);
}

const dhtSettings: Parameters<typeof kadDHT>[0] = {
  protocol: DHT_PROTOCOL,
  clientMode: false,
  // The default drops private addresses: nothing would be found on a LAN.
  peerInfoMapper: passthroughMapper,
  kBucketSize: REPLICATION,
  prefixLength: PREFIX_BITS,
  pingNewContactMaxQueueSize: MAX_PINGS_QUEUED,
  // Otherwise the first query waits for the first peer, with no end of its own.
  allowQueryWithZeroPeers: true,
  reprovide: { interval: NEVER_MS },
  // Its first walk, with ten paths a second after the start, would double what joining costs: see Membership.
  initialQuerySelfInterval: FIRST_WALK_MS,
  alpha: WALK_PARALLEL,
  disjointPaths: 1,
};

/** On all interfaces each family has its own socket; without IPv6 in the kernel the second cannot be opened. */
function listenAddresses({ host, port }: NodeSettings['routerAddress']): string[] {
  const all = ['0.0.0.0', ...(hasIPv6() ? ['::'] : [])];
  const hosts = host === '' || (isUnspecified(host) && isIPv6(host)) ? all : [host];
  return hosts.map((ip) => `/${isIPv6(ip) ? 'ip6' : 'ip4'}/${ip}/tcp/${port}`);
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
