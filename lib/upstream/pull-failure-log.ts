import { BoundedLabels } from '../base/bounded-labels.ts';
import type { Instruments } from '../base/instruments.ts';
import type { Logger } from '../base/log.ts';
import { LogRateLimit } from '../base/log-rate-limit.ts';
import { MAX_LOGGED_REGISTRIES, WARN_INTERVAL_MS } from './constants.ts';
import type { TagName, TagProbeResult } from './tag-probe.ts';

export interface PullFailureLogParts {
  readonly log: Logger;
  readonly instruments: Instruments;
}

/**
 * Logs why the upstream did not give a tag to this host's containerd. containerd 2.x itself only
 * prints the error of the first host that it asked, which is this daemon's 404: `not found`.
 */
export class PullFailureLog {
  readonly #parts: PullFailureLogParts;
  readonly #seldom = new LogRateLimit(WARN_INTERVAL_MS, MAX_LOGGED_REGISTRIES);
  readonly #registries = new BoundedLabels(MAX_LOGGED_REGISTRIES);

  constructor(parts: PullFailureLogParts) {
    this.#parts = parts;
  }

  /** Counts a failed pull, and logs one a minute per registry. */
  add(tag: TagName, { reason, message }: TagProbeResult, fleetHasIt: boolean): void {
    const { registry, repository } = tag;
    const labels = { registry: this.#registries.of(registry), reason: reason ?? 'answers' };
    this.#parts.instruments.upstreamFailures.inc(labels);
    const notTold = this.#seldom.admit(registry);
    if (notTold === undefined) return;
    const fields = { registry, tag: `${repository}:${tag.tag}`, reason, upstream: message };
    this.#parts.log.warn(WORDS, { ...fields, answeredByFleet: fleetHasIt, notTold });
  }
}

const WORDS = 'containerd could not get a tag from the upstream registry';
