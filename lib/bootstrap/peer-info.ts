import { peerIdFromString } from '@libp2p/peer-id';
import { tcpMultiaddr } from '../base/multiaddr.ts';
import { MAX_PAGE_ADDRESSES, MAX_PAGE_PEERS, MAX_PEER_ID_LENGTH } from './constants.ts';
import { ipToDial, parseIpMultiaddr } from './peer.ts';

/** The forms in which Go Spegel tells how to reach a node: of 0.3, 0.7.4 and the next release. */
export type InfoFormat = 'text' | 'object' | 'list';

/** Go's peer.AddrInfo in JSON, with addresses without `/p2p`. */
interface AddrInfo {
  readonly ID: string;
  readonly Addrs: readonly string[];
}

/**
 * Our own addresses in the form of a Go Spegel release. `own`: at least one multiaddr, each with
 * `/p2p/<id>`.
 */
export function formatPeerInfo(own: readonly string[], format: InfoFormat): string {
  const [first = ''] = own;
  if (format === 'text') return first;
  const id = first.slice(first.lastIndexOf('/') + 1);
  const info: AddrInfo = { ID: id, Addrs: own.map((address) => address.replace(/\/p2p\/.*$/, '')) };
  return JSON.stringify(format === 'list' ? [info] : info);
}

/**
 * The multiaddrs that can be dialled in an answer of any form. `met`: the IP that answered, which
 * replaces addresses that mean another host here. `port`: the port of addresses without one. Throws
 * an Error if the text has none of the forms.
 */
export function parsePeerInfo(text: string, met: string, port: number): string[] {
  const infos = text.trim().startsWith('/') ? [fromText(text.trim())] : fromJson(text);
  const found = infos.slice(0, MAX_PAGE_PEERS).flatMap(({ ID, Addrs }) => {
    const id = isPeerId(ID) ? ID : undefined;
    return Addrs.slice(0, MAX_PAGE_ADDRESSES).flatMap((address) => {
      const bare = /^\/ip[46]\/[^/]+$/.test(address) ? `${address}/tcp/${port}` : address;
      const told = parseIpMultiaddr(bare);
      const ip = told && ipToDial(told.host, met);
      return ip === undefined ? [] : [tcpMultiaddr(ip, told?.port ?? port, told?.peerId ?? id)];
    });
  });
  return [...new Set(found)];
}

function fromText(text: string): AddrInfo {
  const [address = ''] = text.split(/\s/);
  return { ID: '', Addrs: [address] };
}

function fromJson(text: string): AddrInfo[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unknownForm();
  }
  const items = Array.isArray(value) ? value : [value];
  return items.slice(0, MAX_PAGE_PEERS).map((item) => {
    if (typeof item !== 'object' || item === null || !('Addrs' in item)) throw unknownForm();
    // Go writes a list without entries as null.
    const addresses: unknown[] = Array.isArray(item.Addrs) ? item.Addrs : [];
    return {
      ID: 'ID' in item && typeof item.ID === 'string' ? item.ID : '',
      Addrs: addresses.filter((address) => typeof address === 'string'),
    };
  });
}

function unknownForm(): Error {
  return new Error('expected a multiaddr, or JSON with ID and Addrs, got something else');
}

function isPeerId(text: string): boolean {
  // The time to read an id grows with the square of its length.
  if (text.length > MAX_PEER_ID_LENGTH || !/^[0-9A-Za-z]*$/.test(text)) return false;
  try {
    return peerIdFromString(text) !== undefined;
  } catch {
    return false;
  }
}
