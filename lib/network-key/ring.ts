import { delay } from '../base/abortable.ts';
import { messageOf } from '../base/errors.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import { KEY_FILE_POLL_MS } from './constants.ts';
import { networkKeysVersion, readNetworkKeys } from './file.ts';
import type { NetworkKey, NetworkKeys } from './network-key.ts';

/**
 * The keys of a file, which is read again when it changes. With a wrong file the start fails. If
 * the file becomes wrong later, that is logged once and the keys in use stay: a typo must neither
 * open the network nor split it.
 */
export class NetworkKeyRing implements NetworkKeys, Part {
  readonly #log: Logger;
  readonly #path: string;
  readonly #pollMs: number;
  readonly #listeners: (() => void)[] = [];
  #keys: readonly [NetworkKey, ...NetworkKey[]] | undefined;
  #version: string | undefined;
  #problem: string | undefined;
  #reading: Promise<void> = Promise.resolve();
  #stop = new AbortController();

  constructor(parts: { readonly log: Logger }, path: string, pollMs = KEY_FILE_POLL_MS) {
    this.#log = parts.log;
    this.#path = path;
    this.#pollMs = pollMs;
  }

  accepted(): readonly [NetworkKey, ...NetworkKey[]] {
    if (this.#keys === undefined) throw new Error('the network keys have not been read');
    return this.#keys;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Throws SpegelError ERR_NETWORK_KEY. */
  async start(signal: AbortSignal): Promise<void> {
    const { keys, version } = await readNetworkKeys(this.#path);
    signal.throwIfAborted();
    this.#keys = keys;
    this.#version = version;
    this.#log.info('closed network: only hosts with a key of this file take part', this.#fields());
    this.#stop = new AbortController();
    void this.#poll(this.#stop.signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('key ring stopped'));
    await this.#reading;
  }

  /** Reads the file again, changed or not. Never rejects. */
  reload(): Promise<void> {
    this.#reading = this.#reading.then(() => this.#read());
    return this.#reading;
  }

  async #poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(this.#pollMs, signal).catch(() => {});
      if (signal.aborted) return;
      const version = await networkKeysVersion(this.#path);
      if (version !== this.#version && !signal.aborted) await this.reload();
    }
  }

  async #read(): Promise<void> {
    if (await this.#take()) this.#notify();
  }

  /** Takes the keys of the file; true if the accepted keys changed. */
  async #take(): Promise<boolean> {
    try {
      const { keys, version } = await readNetworkKeys(this.#path);
      this.#version = version;
      const wasWrong = this.#problem !== undefined;
      this.#problem = undefined;
      if (isSame(keys, this.#keys ?? [])) {
        if (wasWrong) this.#log.info('network key file is good again', this.#fields());
        return false;
      }
      this.#keys = keys;
      this.#log.info('network keys changed', this.#fields());
      return true;
    } catch (error) {
      const message = messageOf(error);
      if (message !== this.#problem) {
        this.#log.error('network keys not changed, those in use stay', { error: message });
      }
      this.#problem = message;
      return false;
    }
  }

  /** A listener that throws must not keep others from ending the connections of an old key. */
  #notify(): void {
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        const fields = { error: messageOf(error) };
        this.#log.error('network keys changed, a part failed to take them up', fields);
      }
    }
  }

  #fields() {
    const [used, ...others] = this.accepted().map(({ fingerprint }) => fingerprint);
    return { path: this.#path, accepted: 1 + others.length, used, others };
  }
}

function isSame(some: readonly NetworkKey[], others: readonly NetworkKey[]): boolean {
  return some.length === others.length && some.every(({ dht }, i) => others[i]?.dht.equals(dht));
}
