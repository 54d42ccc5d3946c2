import type { networkInterfaces } from 'node:os';
import { canonicalIp, isLoopback, ownIps } from '../base/address.ts';
import { OWN_ADDRESSES_MS } from './constants.ts';

/**
 * Tells whether a connection comes from this host: from the loopback, or from an address of one of
 * its interfaces. Interfaces come and go with pods and VPNs.
 */
export class OwnAddresses {
  readonly #list: typeof networkInterfaces | undefined;
  #addresses: ReadonlySet<string> = new Set();
  #readAt = Number.NEGATIVE_INFINITY;

  /** Tests give `list`. */
  constructor(list?: typeof networkInterfaces) {
    this.#list = list;
  }

  /** `address` as `socket.remoteAddress` gives it; false for undefined, the client is gone. */
  has(address: string | undefined): boolean {
    if (address === undefined) return false;
    const ip = canonicalIp(address);
    return isLoopback(ip) || this.#current().has(ip);
  }

  #current(): ReadonlySet<string> {
    const now = performance.now();
    if (now - this.#readAt >= OWN_ADDRESSES_MS) {
      this.#addresses = ownIps(this.#list);
      this.#readAt = now;
    }
    return this.#addresses;
  }
}
