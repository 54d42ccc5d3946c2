import { isIP } from 'node:net';
import {
  canonicalIp,
  isLoopback,
  isUnspecified,
  type ListenAddress,
  portOf,
} from '../base/address.ts';
import { OwnAddresses } from './own-addresses.ts';
import { type HostNames, OwnNames } from './own-names.ts';

/**
 * Tells whether a URL leads to this daemon's own registry: to its port at a loopback or interface
 * address, at `localhost`, at the host's name, or at a name that has such an address in /etc/hosts.
 * DNS is not asked, since a resolver can hang.
 */
export class OwnRegistry {
  readonly #listener: ListenAddress;
  readonly #addresses: OwnAddresses;
  readonly #names: OwnNames;

  constructor(listener: ListenAddress, names: HostNames = {}) {
    this.#listener = { ...listener, host: canonicalIp(listener.host) };
    this.#addresses = new OwnAddresses(names.interfaces);
    this.#names = new OwnNames(names);
  }

  /** `url` is an http or https URL. */
  isAt(url: URL): boolean {
    if (portOf(url) !== this.#listener.port) return false;
    const name = url.hostname
      .replace(/^\[|\]$/g, '')
      .replace(/\.$/, '')
      .toLowerCase();
    if (isIP(name) !== 0) return this.#listensAt(canonicalIp(name));
    const addresses = this.#names.addressesOf(name);
    if (addresses.length > 0) return addresses.some((ip) => this.#listensAt(ip));
    return this.#names.isHostname(name);
  }

  #listensAt(ip: string): boolean {
    const { host } = this.#listener;
    // Linux connects an unspecified address to the loopback.
    if (isUnspecified(ip)) return host === '' || isUnspecified(host) || isLoopback(host);
    return host === '' || isUnspecified(host) ? this.#addresses.has(ip) : host === ip;
  }
}
