import { readFileSync } from 'node:fs';
import { hostname, type networkInterfaces } from 'node:os';
import { canonicalIp, isUnspecified } from '../base/address.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import { addressesInHosts, isHostname, isLocalhost, searchDomains } from '../base/host-names.ts';
import { OwnAddresses } from './own-addresses.ts';

/** What the answers depend on, of this host unless a test says otherwise. */
export interface HostNames {
  readonly interfaces?: typeof networkInterfaces;
  readonly hostname?: () => string;
  /** Text of /etc/hosts. */
  readonly hostsFile?: () => string;
  /** Text of /etc/resolv.conf. */
  readonly resolvConf?: () => string;
}

/**
 * The names of this host, as the host itself gives them. DNS is not asked: a resolver can hang, and
 * the owner of a name can have it lead here. Names are in lower case, without a dot at the end.
 */
export class OwnNames {
  readonly #addresses: OwnAddresses;
  readonly #hostname: () => string;
  readonly #hostsFile: () => string;
  readonly #resolvConf: () => string;
  readonly #verdicts = new ExpiringMap<boolean>(MAX_VERDICTS);

  constructor(names: HostNames = {}) {
    this.#addresses = new OwnAddresses(names.interfaces);
    this.#hostname = names.hostname ?? hostname;
    this.#hostsFile = names.hostsFile ?? (() => readFileSync('/etc/hosts', 'utf8'));
    this.#resolvConf = names.resolvConf ?? (() => readFileSync('/etc/resolv.conf', 'utf8'));
  }

  /** Canonical, as `localhost` has them or /etc/hosts says; empty for any other name. */
  addressesOf(name: string): string[] {
    if (isLocalhost(name)) return ['127.0.0.1', '::1'];
    return addressesInHosts(textOf(this.#hostsFile), name).map(canonicalIp);
  }

  /** The host's name, in full or its first part. */
  isHostname(name: string): boolean {
    return isHostname(name, this.#hostname());
  }

  /** What it says is some seconds old at most. */
  has(name: string): boolean {
    if (isLocalhost(name)) return true;
    const known = this.#verdicts.get(name);
    if (known !== undefined) return known;
    const verdict = this.#judge(name);
    this.#verdicts.set(name, verdict, VERDICT_MS);
    return verdict;
  }

  #judge(name: string): boolean {
    const addresses = this.addressesOf(name);
    if (addresses.length > 0)
      return addresses.some((ip) => isUnspecified(ip) || this.#addresses.has(ip));
    if (this.isHostname(name)) return true;
    const [first = ''] = this.#hostname().toLowerCase().split('.');
    const domains = searchDomains(textOf(this.#resolvConf));
    return domains.some((domain) => name === `${first}.${domain.toLowerCase().replace(/\.$/, '')}`);
  }
}

/** A file that cannot be read says nothing. */
function textOf(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

/** An edit of /etc/hosts counts after that. */
const VERDICT_MS = 5_000;
/** Strangers can send any number of names. */
const MAX_VERDICTS = 64;
