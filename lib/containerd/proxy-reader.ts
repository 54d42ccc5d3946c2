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
  /** containerd's socket. */
  readonly socket: string;
  /** What is known without a look at the process. */
  readonly noted: ContainerdProxy;
}

/**
 * Knows the proxy of the containerd behind a socket: what its process was started with, or else
 * what was noted.
 */
export class ProxyReader implements ContainerdProxySource {
  readonly #parts: ProxyParts;
  readonly #settings: ProxySettings;
  #known: ContainerdProxy;
  /** What the log said last. */
  #told: string;

  constructor(parts: ProxyParts, settings: ProxySettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.#known = settings.noted;
    this.#told = settings.noted.description;
  }

  /** Looks at the socket each time: a new containerd may pull before anything else shows it. */
  containerdProxy(): ContainerdProxy {
    return inRun(this.#known, runIdOf(this.#settings.socket));
  }

  /**
   * Looks again: containerd may have been started anew, with another environment. Rejects only when
   * aborted.
   */
  async read(signal: AbortSignal): Promise<void> {
    this.#known = (await this.#look(signal)) ?? this.#known;
    const { description } = this.containerdProxy();
    if (description === this.#told) return;
    this.#parts.log.info('proxy of containerd', { proxy: description, before: this.#told });
    this.#told = description;
  }

  async #look(signal: AbortSignal): Promise<ContainerdProxy | undefined> {
    try {
      return await runningProxy(this.#parts.api, this.#settings.socket, signal);
    } catch {
      signal.throwIfAborted();
      // containerd is away again: the session ends, and the next one looks.
      return undefined;
    }
  }
}

/**
 * The proxy with which the containerd behind a socket was started; undefined where its process may
 * not be looked at. Rejects where containerd does not answer.
 */
export async function runningProxy(
  api: ContainerdApi,
  socket: string,
  signal: AbortSignal,
): Promise<ContainerdProxy | undefined> {
  const run = runIdOf(socket);
  const pid = await pidOf(api, socket, signal);
  const environment = pid === undefined ? undefined : await environmentOf(pid);
  // Started anew meanwhile, it may be the environment of either.
  if (environment === undefined || run === '' || runIdOf(socket) !== run) return undefined;
  return proxyOf(environment, run);
}

/**
 * Tells one run of containerd from the next; empty where there is none. containerd makes its socket
 * anew when it starts; a change of its mode or group leaves inode and time as they are.
 */
export function runIdOf(socket: string): string {
  try {
    const { ino, mtimeNs } = statSync(socket, { bigint: true });
    return `${ino}-${mtimeNs}`;
  } catch {
    return '';
  }
}
