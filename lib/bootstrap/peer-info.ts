import { peerIdFromString } from '@libp2p/peer-id';
import { ipToDial, parseIpMultiaddr, toMultiaddr } from './multiaddr.ts';

/** The three forms in which Go Spegel has told how to reach a node: 0.3, 0.7.4, and after that. */
export type InfoFormat = 'text' | 'object' | 'list';

const MAX_PEERS = 256;
const MAX_ADDRESSES = 16;

/** What Go's peer.AddrInfo is in JSON: addresses without `/p2p`. */
interface AddrInfo {
  readonly ID: string;
  readonly Addrs: readonly string[];
}

/**
 * Our own addresses, which end in `/p2p/<id>` and are at least one, as a node of that time tells
 * its own.
 */
export function formatPeerInfo(own: readonly string[], format: InfoFormat): string {
  const [first = ''] = own;
  if (format === 'text') return first;
  const id = first.slice(first.lastIndexOf('/') + 1);
  const info: AddrInfo = { ID: id, Addrs: own.map((address) => address.replace(/\/p2p\/.*$/, '')) };
  return JSON.stringify(format === 'list' ? [info] : info);
}

/**
 * The multiaddrs in an answer of any form, what cannot be dialled left out. `met`: the IP address
 * that answered, in the place of ones that mean another host here; `port`: of addresses without
 * one. Throws an Error when the text has none of the forms.
 */
export function parsePeerInfo(text: string, met: string, port: number): string[] {
  const infos = text.trim().startsWith('/') ? [fromText(text.trim())] : fromJson(text);
  const found = infos.slice(0, MAX_PEERS).flatMap(({ ID, Addrs }) => {
    const id = isPeerId(ID) ? ID : undefined;
    return Addrs.slice(0, MAX_ADDRESSES).flatMap((address) => {
      const bare = /^\/ip[46]\/[^/]+$/.test(address) ? `${address}/tcp/${port}` : address;
      const told = parseIpMultiaddr(bare);
      const ip = told && ipToDial(told.host, met);
      return ip === undefined ? [] : [toMultiaddr(ip, told?.port ?? port, told?.peerId ?? id)];
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
  return items.slice(0, MAX_PEERS).map((item) => {
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

/** The text of an RSA key's id has 46 characters, an Ed25519 key's 52, as a CID 62. */
const MAX_ID_LENGTH = 128;

function isPeerId(text: string): boolean {
  // Reading it takes time that grows with the square of its length.
  if (text.length > MAX_ID_LENGTH || !/^[0-9A-Za-z]*$/.test(text)) return false;
  try {
    return peerIdFromString(text) !== undefined;
  } catch {
    return false;
  }
}
