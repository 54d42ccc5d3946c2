import type { Answer } from 'dns-packet';
import { isLinkLocal, isLoopback } from '../base/address.ts';
import { tcpMultiaddr } from '../base/multiaddr.ts';
import type { SeenPeer } from './bootstrapper.ts';
import { MAX_MDNS_ADDRESSES, MAX_MDNS_RECORDS, MDNS_TTL_S } from './constants.ts';
import { ipToDial, parseIpMultiaddr } from './peer.ts';

/**
 * The name of our records, which are those of libp2p's mDNS (github.com/libp2p/specs,
 * discovery/mdns.md). With libp2p's own name we would meet nodes of other libp2p networks.
 */
export const MDNS_SERVICE = '_spegel._tcp.local';
/** The length of one text (RFC 6763, 6.1). */
const MAX_TXT_BYTES = 255;

/** Where a packet came from. */
export interface MdnsSender {
  /** In canonical form. */
  readonly ip: string;
  /** Whether the sender is on this host. */
  readonly isOwn: boolean;
}

/** What a packet says about one peer. */
export interface MdnsPeer extends SeenPeer {
  /** Whether the peer says goodbye. */
  readonly leaves: boolean;
}

export interface MdnsRecords {
  readonly answers: Answer[];
  readonly additionals: Answer[];
}

/** The records that announce this node; with `isLeaving`, those that withdraw it. */
export function mdnsRecordsOf(
  peerName: string,
  own: readonly string[],
  isLeaving = false,
): MdnsRecords {
  const name = `${peerName}.${MDNS_SERVICE}`;
  const ttl = isLeaving ? 0 : MDNS_TTL_S;
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
 * Whether a packet is no longer than RFC 6762, 17 allows. The decoder follows a name that points to
 * another name again for each record. For the 64 KiB that UDP allows, that blocks the event loop
 * for a quarter of a second.
 */
export function isDecodable(packet: Uint8Array): boolean {
  return packet.byteLength <= MAX_PACKET_BYTES;
}

const MAX_PACKET_BYTES = 9_000;

/** Whether a packet asks for our service. A question for all types is also one for PTR. */
export function isQuestion(questions: readonly { name: string; type: string }[]): boolean {
  return questions
    .slice(0, MAX_MDNS_RECORDS)
    .some(({ name, type }) => isService(name) && (type === 'PTR' || type === 'ANY'));
}

/** The peers in the records of a packet. Only IP addresses with a TCP port and a peer id count. */
export function mdnsPeersIn(
  records: readonly Answer[],
  { ip: from, isOwn }: MdnsSender,
): MdnsPeer[] {
  const known = records.slice(0, MAX_MDNS_RECORDS);
  if (!known.some(({ type, name }) => type === 'PTR' && isService(name))) return [];
  const heard = new Map<string, { addresses: Set<string>; leaves: boolean }>();
  for (const record of known) {
    if (record.type !== 'TXT' || !record.name.toLowerCase().endsWith(`.${MDNS_SERVICE}`)) continue;
    for (const text of [record.data].flat().map(String)) {
      const told = text.startsWith('dnsaddr=') ? parseIpMultiaddr(text.slice(8)) : undefined;
      if (told?.peerId === undefined) continue;
      const peer = heard.get(told.peerId) ?? { addresses: new Set(), leaves: record.ttl === 0 };
      heard.set(told.peerId, peer);
      // The loopback addresses of a sender on this host can be dialled.
      const ip = ipToDial(told.host, isOwn ? '127.0.0.1' : from);
      if (ip !== undefined) peer.addresses.add(tcpMultiaddr(ip, told.port));
      // The sender announces the address of its default route, which this link may not reach.
      if (isDialable(from)) peer.addresses.add(tcpMultiaddr(from, told.port));
    }
  }
  return [...heard].map(([id, { addresses, leaves }]) => ({
    id,
    addresses: [...addresses].slice(0, MAX_MDNS_ADDRESSES),
    leaves,
  }));
}

function isDialable(ip: string): boolean {
  return !isLinkLocal(ip) && !isLoopback(ip);
}

/** DNS names have no case. */
function isService(name: string): boolean {
  return name.toLowerCase() === MDNS_SERVICE;
}
