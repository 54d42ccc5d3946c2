import { delay } from '../base/abortable.ts';
import { messageOf } from '../base/errors.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import { networkKeysVersion, readNetworkKeys } from './file.ts';
import type { NetworkKey, NetworkKeys } from './network-key.ts';

/** A rotation is done by hand or by a tool, host by host: seconds do. */
const POLL_MS = 2_000;

/**
 * The keys of a file, read again when it changes. A file that is wrong at the start ends the start;
 * one that becomes wrong later is told once, and the keys in use stay: a network never opens, or
 * falls apart, by a typo.
 */
export class NetworkKeyRing implements NetworkKeys, Part {
  readonly #log: Logger;
  readonly #path: string;
  readonly #pollMs: number;
  readonly #listeners: (() => void)[] = [];
  #keys: readonly [NetworkKey, ...NetworkKey[]] | undefined;
  #version: string | undefined;
  #told: string | undefined;
  #reading: Promise<void> = Promise.resolve();
  #stop = new AbortController();

  constructor(parts: { readonly log: Logger }, path: string, pollMs = POLL_MS) {
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
    if (await this.#take()) this.#tell();
  }

  /** Whether the accepted keys are others now. */
  async #take(): Promise<boolean> {
    try {
      const { keys, version } = await readNetworkKeys(this.#path);
      this.#version = version;
      const wasWrong = this.#told !== undefined;
      this.#told = undefined;
      if (isSame(keys, this.#keys ?? [])) {
        if (wasWrong) this.#log.info('network key file is good again', this.#fields());
        return false;
      }
      this.#keys = keys;
      this.#log.info('network keys changed', this.#fields());
      return true;
    } catch (error) {
      const message = messageOf(error);
      if (message !== this.#told) {
        this.#log.error('network keys not changed, those in use stay', { error: message });
      }
      this.#told = message;
      return false;
    }
  }

  /** One that fails keeps none of the others from ending the connections of an old key. */
  #tell(): void {
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
