import { isIP } from 'node:net';
import { codeOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { tcpMultiaddr } from '../base/multiaddr.ts';
import type { Bootstrapper } from './bootstrapper.ts';
import { MAX_ADDRESSES_PER_NAME } from './constants.ts';
import type { BootstrapPeer } from './peer.ts';
import type { PeersFile } from './peers-file.ts';
import { type ResolveName, resolveFamilies, systemResolver } from './resolve.ts';

export interface StaticBootstrapperParts {
  readonly log: Logger;
  /** The system's resolver unless a test names another. */
  readonly resolve?: ResolveName;
  /** A file with more entries, which may change. */
  readonly file?: PeersFile | undefined;
}

/**
 * The lists of `--static-bootstrap-peers` and `--static-bootstrap-peers-file`. Names that do not
 * resolve are left out, with a line in the debug log.
 */
export class StaticBootstrapper implements Bootstrapper {
  readonly kind = 'static';
  readonly #log: Logger;
  readonly #resolve: ResolveName;
  readonly #file: PeersFile | undefined;
  readonly #peers: readonly BootstrapPeer[];
  #watching: Promise<void> | undefined;
  readonly #stop = new AbortController();

  constructor({ log, resolve, file }: StaticBootstrapperParts, peers: readonly BootstrapPeer[]) {
    this.#log = log;
    this.#resolve = resolve ?? systemResolver();
    this.#file = file;
    this.#peers = peers;
  }

  /**
   * Returns what is known at the latest when the signal is aborted. A name or a file that hangs
   * does not affect the other entries.
   */
  async addresses(signal: AbortSignal): Promise<readonly string[]> {
    const listed = (await this.#file?.peers(signal)) ?? [];
    const peers = [...this.#peers, ...listed];
    const lists = await Promise.all(peers.map((peer) => this.#addressesOf(peer, signal)));
    return [...new Set(lists.flat())];
  }

  /** Watches the file until `stop` or the signal. */
  async start(signal: AbortSignal, changed: () => void): Promise<void> {
    const ended = AbortSignal.any([signal, this.#stop.signal]);
    this.#watching ??= this.#file?.watch(ended, changed);
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('bootstrapper stopped'));
    await this.#watching;
  }

  async #addressesOf(peer: BootstrapPeer, signal: AbortSignal): Promise<string[]> {
    const { host, port, peerId, family } = peer;
    if (isIP(host) !== 0) return [tcpMultiaddr(host, port, peerId)];
    try {
      const families = family === undefined ? ([4, 6] as const) : [family];
      const ips = await resolveFamilies(this.#resolve, host, families, signal);
      return ips.slice(0, MAX_ADDRESSES_PER_NAME).map((ip) => tcpMultiaddr(ip, port, peerId));
    } catch (error) {
      this.#log.debug('bootstrap peer does not resolve', { host, error: codeOf(error) });
      return [];
    }
  }
}
