import { lookup } from 'node:dns/promises';
import { isIP, isIPv6 } from 'node:net';
import { codeOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Bootstrapper } from './bootstrapper.ts';
import type { BootstrapPeer } from './peer.ts';

/** All addresses of a DNS name; `family` 0 for both. */
export type Resolve = (name: string, family: 0 | 4 | 6) => Promise<readonly string[]>;

export interface StaticBootstrapperParts {
  readonly log: Logger;
  /** The system's resolver (so /etc/hosts counts) unless a test brings its own. */
  readonly resolve?: Resolve;
}

/**
 * A name that resolves to a whole data centre is a mistake or an attack; a join needs one peer that answers.
 * The addresses after the first so many are left out.
 */
const MAX_ADDRESSES_PER_NAME = 64;

const systemResolve: Resolve = async (name, family) => {
  const found = await lookup(name, { all: true, family });
  return found.map(({ address }) => address);
};

/** The list of `--static-bootstrap-peers`. Names that do not resolve are left out, with a line in the debug log. */
export class StaticBootstrapper implements Bootstrapper {
  readonly kind = 'static';
  readonly #log: Logger;
  readonly #resolve: Resolve;
  readonly #peers: readonly BootstrapPeer[];

  constructor({ log, resolve }: StaticBootstrapperParts, peers: readonly BootstrapPeer[]) {
    this.#log = log;
    this.#resolve = resolve ?? systemResolve;
    this.#peers = peers;
  }

  async addresses(signal: AbortSignal): Promise<readonly string[]> {
    const lists = await Promise.all(this.#peers.map((peer) => this.#addressesOf(peer, signal)));
    return [...new Set(lists.flat())];
  }

  async #addressesOf(peer: BootstrapPeer, signal: AbortSignal): Promise<string[]> {
    if (isIP(peer.host) !== 0) return [toMultiaddr(peer.host, peer)];
    try {
      const ips = await unlessAborted(this.#resolve(peer.host, peer.family ?? 0), signal);
      return ips.slice(0, MAX_ADDRESSES_PER_NAME).map((ip) => toMultiaddr(ip, peer));
    } catch (error) {
      this.#log.debug('bootstrap peer does not resolve', { host: peer.host, error: codeOf(error) });
      return [];
    }
  }
}

function toMultiaddr(ip: string, { port, peerId }: BootstrapPeer): string {
  const base = `/${isIPv6(ip) ? 'ip6' : 'ip4'}/${ip}/tcp/${port}`;
  return peerId === undefined ? base : `${base}/p2p/${peerId}`;
}

/** getaddrinfo cannot be cancelled: a resolver that hangs must not hold up the other entries. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
