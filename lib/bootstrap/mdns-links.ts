import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { BlockList, isIPv6 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import multicastDns from 'multicast-dns';
import { canonicalIp, isLinkLocal } from '../base/address.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { MAX_MDNS_LINKS } from './constants.ts';
import { isDecodable, type MdnsRecords, type MdnsSender } from './mdns-message.ts';

export type Packet = multicastDns.QueryPacket | multicastDns.ResponsePacket;

export interface MdnsLinksParts {
  readonly log: Logger;
  /** Called for a packet from a host on one of our links. Must not throw. */
  readonly onPacket: (packet: Packet, from: MdnsSender) => void;
  /** The interfaces of this host unless a test names others. */
  readonly interfaces?: typeof networkInterfaces;
}

/** The interface and family of one socket. */
interface Link {
  readonly family: 4 | 6;
  /** The name of the interface in multicast-dns and Node: its IPv4 address, or `::%<name>`. */
  readonly interface: string;
}

const GROUPS = { 4: '224.0.0.251', 6: 'ff02::fb' } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;

/**
 * The sockets of multicast DNS, one per interface and family: a single socket would send on one
 * interface only, and on none without a default route. They share the port with the host's own
 * responder (avahi, systemd-resolved).
 */
export class MdnsLinks {
  readonly #parts: MdnsLinksParts;
  readonly #port: number;
  readonly #open = new Map<string, multicastDns.MulticastDNS>();
  readonly #failing = new Set<string>();
  #neighbours = new BlockList();
  #own: ReadonlySet<string> = new Set();
  #isTold = false;

  constructor(parts: MdnsLinksParts, port: number) {
    this.#parts = parts;
    this.#port = port;
  }

  /**
   * Opens and closes sockets as the interfaces are now; true if it opened one. To be called
   * regularly: a socket that could not be opened is tried again. Never throws.
   */
  update(): boolean {
    const infos = (this.#parts.interfaces ?? networkInterfaces)();
    const all = Object.values(infos).flatMap((list) => list ?? []);
    this.#neighbours = neighboursOf(all);
    this.#own = new Set(all.map(({ address }) => canonicalIp(address)));
    const wanted = linksOf(infos);
    for (const [key, socket] of this.#open) {
      if (wanted.has(key)) continue;
      this.#open.delete(key);
      socket.destroy();
    }
    for (const key of this.#failing) if (!wanted.has(key)) this.#failing.delete(key);
    const missing = [...wanted].filter(([key]) => !this.#open.has(key));
    for (const [key, link] of missing) this.#openLink(key, link);
    if (wanted.size === 0 && !this.#isTold) {
      this.#parts.log.warn('mdns: no network interface to look for peers on, trying on');
    }
    this.#isTold = wanted.size === 0;
    return missing.length > 0;
  }

  query(name: string): void {
    for (const socket of this.#open.values()) {
      socket.query({ questions: [{ name, type: 'PTR' }] }, this.#onSent);
    }
  }

  /** Resolves when all packets were sent or failed. */
  async respond({ answers, additionals }: MdnsRecords): Promise<void> {
    const sends = [...this.#open.values()].map(
      (socket) =>
        new Promise<void>((done) => {
          socket.respond({ answers, additionals }, (error) => {
            this.#onSent(error);
            done();
          });
        }),
    );
    await Promise.all(sends);
  }

  /** Resolves when the sockets are closed. */
  async close(): Promise<void> {
    const sockets = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(sockets.map((socket) => new Promise<void>((done) => socket.destroy(done))));
  }

  readonly #onSent = (error: Error | null | undefined): void => {
    if (error) this.#parts.log.debug('mdns packet not sent', { error: error.message });
  };

  #openLink(key: string, link: Link): void {
    const { log, onPacket } = this.#parts;
    const { family } = link;
    try {
      const type = family === 4 ? 'udp4' : 'udp6';
      const udp = createSocket({ type, reuseAddr: true, ipv6Only: family === 6 });
      const socket = multicastDns({
        socket: udp,
        type,
        port: this.#port,
        ip: GROUPS[family],
        interface: link.interface,
        // A socket bound to the interface's own address does not get packets to the group.
        bind: ANY[family],
      });
      this.#guard(udp);
      // Not removed when the socket closes: an 'error' without a listener ends the process.
      socket.on('warning', (error) => log.debug('mdns', { link: key, error: messageOf(error) }));
      socket.on('ready', () => this.#failing.delete(key));
      socket.on('error', (error) => {
        this.#failed(key, error);
        if (this.#open.get(key) !== socket) return;
        this.#open.delete(key);
        socket.destroy();
      });
      socket.on('packet', (packet: Packet, { address }: RemoteInfo) => {
        const ip = canonicalIp(address);
        onPacket(packet, { ip, isOwn: this.#own.has(ip) });
      });
      this.#open.set(key, socket);
    } catch (error) {
      this.#failed(key, error);
    }
  }

  /** Keeps packets from the library that it must not decode. */
  #guard(udp: Socket): void {
    const listeners = udp.listeners('message');
    udp.removeAllListeners('message');
    udp.on('message', (bytes, from) => {
      if (!isDecodable(bytes) || !this.#isNeighbour(canonicalIp(from.address))) return;
      for (const listener of listeners) listener.call(udp, bytes, from);
    });
  }

  /** Logs once for all attempts. The usual cause is a program that does not share the port. */
  #failed(key: string, error: unknown): void {
    if (this.#failing.has(key)) return;
    this.#failing.add(key);
    const fields = { link: key, error: messageOf(error) };
    this.#parts.log.warn('mdns cannot look for peers on an interface, trying on', fields);
  }

  /** RFC 6762, 11: packets of hosts that are not on the link are ignored. */
  #isNeighbour(ip: string): boolean {
    return isLinkLocal(ip) || this.#neighbours.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4');
  }
}

type Interfaces = ReturnType<typeof networkInterfaces>;

/**
 * The links of all interfaces with an address that others can dial, up to MAX_MDNS_LINKS, by a key
 * that names interface and address.
 */
function linksOf(interfaces: Interfaces): Map<string, Link> {
  const links = new Map<string, Link>();
  for (const [name, infos = []] of Object.entries(interfaces)) {
    const usable = infos.filter((info) => !info.internal && !isLinkLocal(info.address));
    const v4 = usable.find((info) => info.family === 'IPv4');
    if (v4 !== undefined) links.set(`${name} ${v4.address}`, { family: 4, interface: v4.address });
    const v6 = usable.find((info) => info.family === 'IPv6');
    // The key has the address: an interface created again under the same name needs a new socket.
    if (v6 !== undefined)
      links.set(`${name} ${v6.address}`, { family: 6, interface: `::%${name}` });
  }
  return new Map([...links].slice(0, MAX_MDNS_LINKS));
}

function neighboursOf(infos: readonly NetworkInterfaceInfo[]): BlockList {
  const list = new BlockList();
  for (const { address, cidr, family } of infos) {
    const prefix = Number(cidr?.split('/')[1]);
    if (Number.isInteger(prefix))
      list.addSubnet(address, prefix, family === 'IPv6' ? 'ipv6' : 'ipv4');
  }
  return list;
}
