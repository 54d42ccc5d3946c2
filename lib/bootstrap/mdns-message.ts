import type { Answer } from 'dns-packet';
import { isLinkLocal, isLoopback } from '../base/address.ts';
import type { SeenPeer } from './bootstrapper.ts';
import { ipToDial, parseIpMultiaddr, toMultiaddr } from './multiaddr.ts';

/**
 * The records of libp2p's mDNS (github.com/libp2p/specs, discovery/mdns.md) under a name of our
 * own: nodes of other libp2p networks on the same link are not met.
 */
export const MDNS_SERVICE = '_spegel._tcp.local';
/**
 * libp2p's own, for other programs that read the records. This node remembers a peer for longer
 * (`FORGET_MS` in mdns.ts), because it asks more rarely.
 */
const TTL_S = 120;
/** RFC 6763, 6.1. */
const MAX_TXT_BYTES = 255;
const MAX_RECORDS = 256;
const MAX_ADDRESSES = 8;

/** Where a packet came from. */
export interface MdnsSender {
  /** Canonical. */
  readonly ip: string;
  /** It is this very host. */
  readonly isOwn: boolean;
}

/** What a packet says of one peer. */
export interface MdnsPeer extends SeenPeer {
  /** It says goodbye. */
  readonly leaves: boolean;
}

export interface MdnsRecords {
  readonly answers: Answer[];
  readonly additionals: Answer[];
}

/** The records that tell of this node; `isLeaving`: they take back what was told. */
export function mdnsRecordsOf(
  peerName: string,
  own: readonly string[],
  isLeaving = false,
): MdnsRecords {
  const name = `${peerName}.${MDNS_SERVICE}`;
  const ttl = isLeaving ? 0 : TTL_S;
  const texts = own.map((address) => `dnsaddr=${address}`).filter(fitsTxt);
  return {
    answers: [{ name: MDNS_SERVICE, type: 'PTR', class: 'IN', ttl, data: name }],
    additionals: texts.map((data) => ({ name, type: 'TXT', class: 'IN', ttl, data })),
  };
}

function fitsTxt(text: string): boolean {
  return Buffer.byteLength(text) <= MAX_TXT_BYTES;
}

/**
 * Whether a packet is no longer than RFC 6762, 17 allows. The decoder follows names that point to
 * pointers, anew for each record: of the 64 KiB that UDP allows that takes a quarter of a second,
 * in which everything waits.
 */
export function isDecodable(packet: Uint8Array): boolean {
  return packet.byteLength <= MAX_PACKET_BYTES;
}

const MAX_PACKET_BYTES = 9_000;

/** The service is asked for; records of all types are PTR for it. */
export function isQuestion(questions: readonly { name: string; type: string }[]): boolean {
  return questions
    .slice(0, MAX_RECORDS)
    .some(({ name, type }) => isService(name) && (type === 'PTR' || type === 'ANY'));
}

/**
 * The peers in the records of a packet that came from `from`; all but IP addresses with a TCP port
 * and an id is skipped.
 */
export function mdnsPeersIn(
  records: readonly Answer[],
  { ip: from, isOwn }: MdnsSender,
): MdnsPeer[] {
  const known = records.slice(0, MAX_RECORDS);
  if (!known.some(({ type, name }) => type === 'PTR' && isService(name))) return [];
  const heard = new Map<string, { addresses: Set<string>; leaves: boolean }>();
  for (const record of known) {
    if (record.type !== 'TXT' || !record.name.toLowerCase().endsWith(`.${MDNS_SERVICE}`)) continue;
    for (const text of [record.data].flat().map(String)) {
      const told = text.startsWith('dnsaddr=') ? parseIpMultiaddr(text.slice(8)) : undefined;
      if (told?.peerId === undefined) continue;
      const peer = heard.get(told.peerId) ?? { addresses: new Set(), leaves: record.ttl === 0 };
      heard.set(told.peerId, peer);
      // On this very host its loopback addresses are ours as well.
      const ip = ipToDial(told.host, isOwn ? '127.0.0.1' : from);
      if (ip !== undefined) peer.addresses.add(toMultiaddr(ip, told.port, undefined));
      // It announces the address of its default route, which a second network may not reach.
      if (isDialable(from)) peer.addresses.add(toMultiaddr(from, told.port, undefined));
    }
  }
  return [...heard].map(([id, { addresses, leaves }]) => ({
    id,
    addresses: [...addresses].slice(0, MAX_ADDRESSES),
    leaves,
  }));
}

function isDialable(ip: string): boolean {
  return !isLinkLocal(ip) && !isLoopback(ip);
}

/** Names have no case in DNS. */
function isService(name: string): boolean {
  return name.toLowerCase() === MDNS_SERVICE;
}
