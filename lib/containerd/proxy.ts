import { stat } from 'node:fs/promises';
import {
  type ContainerdProxy,
  type ContainerdProxySource,
  proxyOf,
  UNKNOWN_PROXY,
} from '../base/containerd-proxy.ts';
import type { Logger } from '../base/log.ts';
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

/** Knows the proxy of the containerd behind a socket: what its process was started with, or else what was noted. */
export class ProxyReader implements ContainerdProxySource {
  readonly #parts: ProxyParts;
  readonly #settings: ProxySettings;
  #current: ContainerdProxy;
  /** Tells one run of containerd from the next. */
  #run: string | undefined;

  constructor(parts: ProxyParts, settings: ProxySettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.#current = settings.noted;
  }

  containerdProxy(): ContainerdProxy {
    return this.#current;
  }

  /** Looks again: containerd may have been started anew, with another environment. Rejects only when aborted. */
  async read(signal: AbortSignal): Promise<void> {
    const run = await runOf(this.#settings.socket);
    const isAnother = this.#run !== undefined && run !== this.#run;
    this.#run = run;
    const found = await this.#environment(signal);
    const proxy = found === undefined ? this.#unread(isAnother) : proxyOf(found);
    const { description } = proxy;
    if (description !== this.#current.description) {
      const fields = { proxy: description, before: this.#current.description };
      this.#parts.log.info('proxy of containerd', fields);
    }
    this.#current = proxy;
  }

  /** After a restart containerd may have a proxy: what a probe without one says proves nothing then. */
  #unread(isAnother: boolean): ContainerdProxy {
    if (!isAnother) return this.#current;
    const { noted } = this.#settings;
    return noted.isNone ? UNKNOWN_PROXY : noted;
  }

  async #environment(signal: AbortSignal): Promise<Record<string, string> | undefined> {
    try {
      const pid = await pidOf(this.#parts.api, this.#settings.socket, signal);
      return pid === undefined ? undefined : await environmentOf(pid);
    } catch {
      signal.throwIfAborted();
      // containerd is away again: the session ends, and the next one looks.
      return undefined;
    }
  }
}

/** containerd makes its socket anew when it starts; a change of its mode or group leaves both as they are. */
async function runOf(socket: string): Promise<string | undefined> {
  const stats = await stat(socket, { bigint: true }).catch(() => undefined);
  return stats && `${stats.ino} ${stats.mtimeNs}`;
}
