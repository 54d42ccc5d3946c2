import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname, type networkInterfaces } from 'node:os';
import { canonicalIp, isLoopback, isUnspecified } from '../base/address.ts';
import { addressesInHosts } from '../base/hosts-file.ts';
import { OwnAddresses } from './own-addresses.ts';

/** Where this daemon's registry listens; an empty host is every address of this host. */
export interface RegistryListener {
  readonly host: string;
  readonly port: number;
}

/** What the answer depends on, of this host unless a test says otherwise. */
export interface HostNames {
  readonly interfaces?: typeof networkInterfaces;
  readonly hostname?: () => string;
  /** Text of /etc/hosts. */
  readonly hostsFile?: () => string;
}

/**
 * Tells whether a URL leads to this daemon's own registry: its port at a loopback or interface
 * address, at `localhost`, at the host's name, or at a name that /etc/hosts gives such an address.
 * DNS is not asked, since a resolver can hang.
 */
export class OwnRegistry {
  readonly #listener: RegistryListener;
  readonly #addresses: OwnAddresses;
  readonly #hostname: () => string;
  readonly #hostsFile: () => string;

  constructor(listener: RegistryListener, names: HostNames = {}) {
    this.#listener = { ...listener, host: canonicalIp(listener.host) };
    this.#addresses = new OwnAddresses(names.interfaces);
    this.#hostname = names.hostname ?? hostname;
    this.#hostsFile = names.hostsFile ?? (() => readFileSync('/etc/hosts', 'utf8'));
  }

  /** An http or https URL. */
  isAt({ protocol, hostname: host, port }: URL): boolean {
    const defaultPort = protocol === 'https:' ? 443 : 80;
    if ((port === '' ? defaultPort : Number(port)) !== this.#listener.port) return false;
    const name = host
      .replace(/^\[|\]$/g, '')
      .replace(/\.$/, '')
      .toLowerCase();
    if (isIP(name) !== 0) return this.#listensAt(canonicalIp(name));
    const isLocalhost = /^(?:.*\.)?localhost$/.test(name);
    const addresses = isLocalhost ? ['127.0.0.1', '::1'] : this.#addressesOf(name);
    if (addresses.length > 0) return addresses.some((ip) => this.#listensAt(ip));
    const own = this.#hostname().toLowerCase();
    return name === own || name === own.split('.')[0];
  }

  #listensAt(ip: string): boolean {
    const { host } = this.#listener;
    // Linux connects an unspecified address to the loopback.
    if (isUnspecified(ip)) return host === '' || isUnspecified(host) || isLoopback(host);
    return host === '' || isUnspecified(host) ? this.#addresses.has(ip) : host === ip;
  }

  #addressesOf(name: string): string[] {
    try {
      return addressesInHosts(this.#hostsFile(), name).map(canonicalIp);
    } catch {
      return [];
    }
  }
}
