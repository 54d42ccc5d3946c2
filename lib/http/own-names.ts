import { readFileSync } from 'node:fs';
import { hostname, type networkInterfaces } from 'node:os';
import { canonicalIp, isUnspecified } from '../base/address.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import { addressesInHosts, isHostname, isLocalhost, searchDomains } from '../base/host-names.ts';
import { MAX_OWN_NAMES, OWN_NAMES_MS } from './constants.ts';
import { OwnAddresses } from './own-addresses.ts';

/** What the answers depend on. A field that is not given is read from this host. */
export interface HostNames {
  readonly interfaces?: typeof networkInterfaces;
  readonly hostname?: () => string;
  /** Text of /etc/hosts. */
  readonly hostsFile?: () => string;
  /** Text of /etc/resolv.conf. */
  readonly resolvConf?: () => string;
}

/**
 * The names of this host, by its own files. DNS is not asked: a resolver can hang, and anybody can
 * have a name of theirs lead here. Names are in lower case, without a dot at the end. For the
 * daemon, which asks at every request: unlike port/local-addresses.ts, it keeps its answers for
 * some seconds. own-registry.ts adds the port, and the address on which the registry listens.
 */
export class OwnNames {
  readonly #addresses: OwnAddresses;
  readonly #hostname: () => string;
  readonly #hostsFile: () => string;
  readonly #resolvConf: () => string;
  readonly #known = new ExpiringMap<boolean>(MAX_OWN_NAMES);

  constructor(names: HostNames = {}) {
    this.#addresses = new OwnAddresses(names.interfaces);
    this.#hostname = names.hostname ?? hostname;
    this.#hostsFile = names.hostsFile ?? (() => readFileSync('/etc/hosts', 'utf8'));
    this.#resolvConf = names.resolvConf ?? (() => readFileSync('/etc/resolv.conf', 'utf8'));
  }

  /** The addresses of `localhost` or of a name in /etc/hosts, canonical; none for another name. */
  addressesOf(name: string): string[] {
    if (isLocalhost(name)) return ['127.0.0.1', '::1'];
    return addressesInHosts(textOf(this.#hostsFile), name).map(canonicalIp);
  }

  /** True for the host's name, in full or its first part. */
  isHostname(name: string): boolean {
    return isHostname(name, this.#hostname());
  }

  /** True for a name of this host. The answer is some seconds old at most. */
  has(name: string): boolean {
    if (isLocalhost(name)) return true;
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const isOwn = this.#isOwn(name);
    this.#known.set(name, isOwn, OWN_NAMES_MS);
    return isOwn;
  }

  #isOwn(name: string): boolean {
    const addresses = this.addressesOf(name);
    if (addresses.length > 0)
      return addresses.some((ip) => isUnspecified(ip) || this.#addresses.has(ip));
    if (this.isHostname(name)) return true;
    const [first = ''] = this.#hostname().toLowerCase().split('.');
    const domains = searchDomains(textOf(this.#resolvConf));
    return domains.some((domain) => name === `${first}.${domain.toLowerCase().replace(/\.$/, '')}`);
  }
}

/** The text that `read` returns; empty for a file that cannot be read. */
function textOf(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
