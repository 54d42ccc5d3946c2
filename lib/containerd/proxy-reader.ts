import { statSync } from 'node:fs';
import type { Logger } from '../base/log.ts';
import {
  type ContainerdProxy,
  type ContainerdProxySource,
  inRun,
  proxyOf,
} from '../proxy/containerd-proxy.ts';
import type { ContainerdApi } from './api.ts';
import { environmentOf, pidOf } from './process.ts';

export interface ProxyParts {
  readonly api: ContainerdApi;
  readonly log: Logger;
}

export interface ProxySettings {
  /** Path of containerd's socket. */
  readonly socket: string;
  /** The proxy as known without a look at the process. */
  readonly noted: ContainerdProxy;
}

/**
 * Finds the proxy that containerd uses: from the environment of its process, or else from what the
 * setup noted.
 */
export class ProxyReader implements ContainerdProxySource {
  readonly #parts: ProxyParts;
  readonly #settings: ProxySettings;
  #proxy: ContainerdProxy;
  /** The description in the last log line. */
  #logged: string;

  constructor(parts: ProxyParts, settings: ProxySettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.#proxy = settings.noted;
    this.#logged = settings.noted.description;
  }

  /**
   * Looks at the socket in each call. A restarted containerd may pull before the next session
   * notices it.
   */
  containerdProxy(): ContainerdProxy {
    return inRun(this.#proxy, runIdOf(this.#settings.socket));
  }

  /**
   * Reads the environment of the process again: a restarted containerd may have another one.
   * Rejects only with the signal's reason.
   */
  async read(signal: AbortSignal): Promise<void> {
    this.#proxy = (await this.#look(signal)) ?? this.#proxy;
    const { description } = this.containerdProxy();
    if (description === this.#logged) return;
    this.#parts.log.info('proxy of containerd', { proxy: description, before: this.#logged });
    this.#logged = description;
  }

  async #look(signal: AbortSignal): Promise<ContainerdProxy | undefined> {
    try {
      return await runningProxy(this.#parts.api, this.#settings.socket, signal);
    } catch {
      signal.throwIfAborted();
      // containerd has stopped again. The next session reads it.
      return undefined;
    }
  }
}

/**
 * The proxy with which the containerd behind a socket was started. Undefined if this process may
 * not read its environment. Rejects when containerd does not answer.
 */
export async function runningProxy(
  api: ContainerdApi,
  socket: string,
  signal: AbortSignal,
): Promise<ContainerdProxy | undefined> {
  const run = runIdOf(socket);
  const pid = await pidOf(api, socket, signal);
  const environment = pid === undefined ? undefined : await environmentOf(pid);
  // containerd was restarted meanwhile. The environment may belong to either run.
  if (environment === undefined || run === '' || runIdOf(socket) !== run) return undefined;
  return proxyOf(environment, run);
}

/**
 * Identifies one run of containerd; empty if none runs. containerd creates its socket when it
 * starts. A change of mode or group keeps the inode and the time of the socket.
 */
export function runIdOf(socket: string): string {
  try {
    const { ino, mtimeNs } = statSync(socket, { bigint: true });
    return `${ino}-${mtimeNs}`;
  } catch {
    return '';
  }
}
