import { delay } from '../base/abortable.ts';
import { messageOf } from '../base/errors.ts';
import type { Instruments } from '../base/instruments.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import type { Router } from '../routing/router.ts';
import type { ContentStore, StoreEvent } from '../store/store.ts';
import { WATCH_RETRY_MS } from './constants.ts';
import { AdvertisedGauges } from './gauges.ts';

export interface AdvertiserParts {
  readonly store: Pick<ContentStore, 'watch'>;
  readonly router: Pick<Router, 'advertise' | 'withdraw'>;
  readonly instruments: Instruments;
  readonly log: Logger;
}

/** Tells the router what the store shares: the difference to what it told before. */
export class Advertiser implements Part {
  readonly #parts: AdvertiserParts;
  readonly #gauges: AdvertisedGauges;
  readonly #advertised = new Set<string>();
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(parts: AdvertiserParts) {
    this.#parts = parts;
    this.#gauges = new AdvertisedGauges(parts.instruments);
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#running = this.#run(AbortSignal.any([signal, this.#stopping.signal]));
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the advertiser was stopped'));
    await this.#running;
  }

  /** Each watch begins with a snapshot, which makes up for what an error left undone. */
  async #run(signal: AbortSignal): Promise<void> {
    const { store, log } = this.#parts;
    while (!signal.aborted) {
      try {
        for await (const event of store.watch(signal)) this.#onEvent(event);
      } catch (error) {
        if (!signal.aborted) log.error('advertising failed', { error: messageOf(error) });
      }
      await delay(WATCH_RETRY_MS, signal).catch(() => {});
    }
  }

  #onEvent(event: StoreEvent): void {
    const { added, removed } = this.#difference(event);
    const { log, router } = this.#parts;
    // Remembers keys after the router took them. If the router throws, the next snapshot tries
    // again.
    if (removed.length > 0) router.withdraw(removed);
    for (const key of removed) this.#advertised.delete(key);
    if (added.length > 0) router.advertise(added);
    for (const key of added) this.#advertised.add(key);
    this.#gauges.update(added, removed);
    if (added.length + removed.length > 0) {
      log.debug('advertised', { added: added.length, removed: removed.length });
    }
  }

  #difference(event: StoreEvent): { added: string[]; removed: string[] } {
    const now = this.#advertised;
    if (event.type === 'snapshot') {
      return {
        added: [...event.keys.difference(now)],
        removed: [...now.difference(event.keys)],
      };
    }
    if (event.type === 'added') {
      return { added: event.keys.filter((key) => !now.has(key)), removed: [] };
    }
    return { added: [], removed: event.keys.filter((key) => now.has(key)) };
  }
}
