import { Resolver } from 'node:dns/promises';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { tcpMultiaddr } from '../base/multiaddr.ts';
import { shuffled } from '../base/shuffled.ts';
import type { Bootstrapper } from './bootstrapper.ts';
import { MAX_DNS_ADDRESSES, MAX_DNS_TARGETS, SRV_QUERY } from './constants.ts';
import { type ResolveName, resolveFamilies } from './resolve.ts';

export interface DnsBootstrapperParts {
  readonly log: Logger;
  /** Resolves A and AAAA. */
  readonly resolve: ResolveName;
  /** Name servers for SRV as `ip:port`; the system's unless a test names others. */
  readonly servers?: readonly string[];
}

export interface DnsBootstrapperSettings {
  readonly host: string;
  /** Port of the peers that A and AAAA name; SRV records name their own. */
  readonly port: number;
}

/** The service whose SRV records are asked for, unless the name is a service itself. */
const SERVICE = '_spegel._tcp';
const FAMILIES = [4, 6] as const;
/** Error codes of a name without records. */
const NO_RECORDS = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * The peers that `--dns-bootstrap-domain` names in its A, AAAA and SRV records. They come in random
 * order, so that hosts that start together do not all dial the same peer first.
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
   * Returns what is known at the latest when the signal is aborted. A question that fails or hangs
   * does not affect the answers to the others.
   */
  async addresses(signal: AbortSignal): Promise<readonly string[]> {
    const { host, port } = this.#settings;
    const lists = await Promise.all([this.#ofName(host, port, signal), this.#ofServices(signal)]);
    const addresses = shuffled([...new Set(lists.flat())]).slice(0, MAX_DNS_ADDRESSES);
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
      return ips.map((ip) => tcpMultiaddr(ip, port));
    } catch (error) {
      this.#logFailure(host, 'A and AAAA', error);
      return [];
    }
  }

  async #ofServices(signal: AbortSignal): Promise<string[]> {
    const { host } = this.#settings;
    const name = host.startsWith('_') ? host : `${SERVICE}.${host}`;
    try {
      const targets = shuffled(await this.#services(name, signal)).slice(0, MAX_DNS_TARGETS);
      const lists = targets.map(({ name, port }) => this.#ofName(name, port, signal));
      return (await Promise.all(lists)).flat();
    } catch (error) {
      this.#logFailure(name, 'SRV', error);
      return [];
    }
  }

  async #services(name: string, signal: AbortSignal) {
    signal.throwIfAborted();
    // A new resolver each time: it reads resolv.conf only when it is created, and DHCP changes
    // that file while we run.
    const resolver = new Resolver(SRV_QUERY);
    if (this.#parts.servers !== undefined) resolver.setServers(this.#parts.servers);
    const cancel = () => resolver.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      const found = await resolver.resolveSrv(name);
      // The target "." means that the service does not exist (RFC 2782).
      return found.filter((record) => record.name !== '' && record.name !== '.' && record.port > 0);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  #logFailure(name: string, records: string, error: unknown): void {
    if (NO_RECORDS.has(codeOf(error) ?? '')) return;
    this.#parts.log.debug('bootstrap domain does not resolve', {
      name,
      records,
      error: messageOf(error),
    });
  }
}
