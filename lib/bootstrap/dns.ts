import { Resolver } from 'node:dns/promises';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { shuffled } from '../base/shuffled.ts';
import type { Bootstrapper } from './bootstrapper.ts';
import { toMultiaddr } from './multiaddr.ts';
import { type ResolveName, resolveFamilies } from './resolve.ts';

export interface DnsBootstrapperParts {
  readonly log: Logger;
  /** For A and AAAA. */
  readonly resolve: ResolveName;
  /** Name servers for SRV, `ip:port`; the system's unless a test brings its own. */
  readonly servers?: readonly string[];
}

export interface DnsBootstrapperSettings {
  readonly host: string;
  /** Of the addresses that A and AAAA give; SRV records have their own. */
  readonly port: number;
}

/** The service that SRV records are asked for, unless the name is one itself. */
const SERVICE = '_spegel._tcp';
/**
 * What a name may bring into memory; a fleet that is larger than that is met through any of its
 * hosts.
 */
const MAX_TARGETS = 256;
const MAX_ADDRESSES = 1_024;
/** One question to one server, and how often; c-ares goes on to the next server after each. */
const SRV = { timeout: 1_500, tries: 2 };
const FAMILIES = [4, 6] as const;
/** What a name without such records gives. */
const NO_RECORDS = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * The peers behind `--dns-bootstrap-domain`: its A and AAAA records, and its SRV records where
 * there are any. All of them, in random order: hosts that start together do not all knock at the
 * same one.
 */
export class DnsBootstrapper implements Bootstrapper {
  readonly kind = 'dns';
  readonly #parts: DnsBootstrapperParts;
  readonly #settings: DnsBootstrapperSettings;
  #wasEmpty = false;

  constructor(parts: DnsBootstrapperParts, settings: DnsBootstrapperSettings) {
    this.#parts = parts;
    this.#settings = settings;
  }

  /**
   * What is known when the signal is aborted; a question that fails or hangs takes nothing from the
   * others.
   */
  async addresses(signal: AbortSignal): Promise<readonly string[]> {
    const { host, port } = this.#settings;
    const lists = await Promise.all([this.#ofName(host, port, signal), this.#ofServices(signal)]);
    const addresses = shuffled([...new Set(lists.flat())]).slice(0, MAX_ADDRESSES);
    const isEmpty = addresses.length === 0;
    if (isEmpty && !this.#wasEmpty) {
      this.#parts.log.warn('bootstrap domain names no peer, neither by A or AAAA nor by SRV', {
        host,
      });
    }
    this.#wasEmpty = isEmpty;
    return addresses;
  }

  async #ofName(host: string, port: number, signal: AbortSignal): Promise<string[]> {
    try {
      const ips = await resolveFamilies(this.#parts.resolve, host, FAMILIES, signal);
      return ips.map((ip) => toMultiaddr(ip, port, undefined));
    } catch (error) {
      this.#told(host, 'A and AAAA', error);
      return [];
    }
  }

  async #ofServices(signal: AbortSignal): Promise<string[]> {
    const { host } = this.#settings;
    const name = host.startsWith('_') ? host : `${SERVICE}.${host}`;
    try {
      const targets = shuffled(await this.#services(name, signal)).slice(0, MAX_TARGETS);
      const lists = targets.map(({ name, port }) => this.#ofName(name, port, signal));
      return (await Promise.all(lists)).flat();
    } catch (error) {
      this.#told(name, 'SRV', error);
      return [];
    }
  }

  async #services(name: string, signal: AbortSignal) {
    signal.throwIfAborted();
    // A new one each time: it reads resolv.conf when it is made, and a laptop or a DHCP lease
    // changes that.
    const resolver = new Resolver(SRV);
    if (this.#parts.servers !== undefined) resolver.setServers(this.#parts.servers);
    const cancel = () => resolver.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      const found = await resolver.resolveSrv(name);
      // The target "." says that there is no such service (RFC 2782).
      return found.filter((record) => record.name !== '' && record.name !== '.' && record.port > 0);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  #told(name: string, records: string, error: unknown): void {
    if (NO_RECORDS.has(codeOf(error) ?? '')) return;
    this.#parts.log.debug('bootstrap domain does not resolve', {
      name,
      records,
      error: messageOf(error),
    });
  }
}
