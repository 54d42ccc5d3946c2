import { isIP } from 'node:net';
import { delay } from '../base/abortable.ts';
import { canonicalIp, isNowhere, parseHostPort } from '../base/address.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import type { Logger } from '../base/log.ts';
import { isAskedForTags, type RegistryEndpoint } from '../hosts/registry-endpoints.ts';
import type { ContainerdProxySource } from '../proxy/containerd-proxy.ts';
import type { UpstreamClient } from './client.ts';
import {
  AWAY_KEPT_MS,
  DEFINITE_FAILURE_MS,
  MAX_PROBED_REGISTRIES,
  MAX_REACHED_ENDPOINTS,
  REACHED_KEPT_MS,
  REGISTRY_PROBE_MS,
  REGISTRY_PROBES_APART_MS,
  THERE_KEPT_MS,
} from './constants.ts';
import { failureOf, reasonOfStatus, type UpstreamFailure } from './failure.ts';

export interface RegistryProbeParts {
  readonly client: UpstreamClient;
  /** Where containerd asks for a registry, besides this daemon. Never rejects. */
  readonly endpointsOf: (registry: string) => Promise<readonly RegistryEndpoint[]>;
  /** The proxy that containerd uses, as far as it is known. */
  readonly proxy: ContainerdProxySource;
  readonly log: Logger;
}

/** What the last probe of a registry found. */
interface Finding {
  /** Some place answered. */
  readonly isThere: boolean;
  /** Every place that this host's containerd asks is surely gone. */
  readonly isAway: boolean;
  /** And it is for clients on other hosts, too. */
  readonly isAwayForAll: boolean;
}

/**
 * Finds out whether an upstream registry is there: one anonymous `GET /v2/` to each place that
 * containerd asks, a second one where it fails. Any status below 500 will do. It is only a probe:
 * containerd has another resolver, other time-outs and credentials.
 */
export class RegistryProbe {
  readonly #parts: RegistryProbeParts;
  readonly #timeoutMs: number;
  readonly #known = new ExpiringMap<Finding>(MAX_PROBED_REGISTRIES);
  readonly #asking = new Map<string, Promise<Finding>>();
  /** Places that have answered a probe of this process. */
  readonly #reached = new ExpiringMap<true>(MAX_REACHED_ENDPOINTS);

  constructor(parts: RegistryProbeParts, { timeoutMs = REGISTRY_PROBE_MS } = {}) {
    this.#parts = parts;
    this.#timeoutMs = timeoutMs;
  }

  /** The answer of the last seconds, or undefined. */
  known(registry: string): boolean | undefined {
    return this.#known.get(this.#keyOf(registry))?.isThere;
  }

  /** Whether some place of it answers. Never rejects; within ten seconds. */
  async answers(registry: string): Promise<boolean> {
    return (await this.#find(registry)).isThere;
  }

  /**
   * Whether every place that containerd asks is surely gone: it answered a probe of this process by
   * the same way before and fails twice now, or nobody is there at all and containerd has no proxy.
   * Anything else proves nothing. `isOwn`: it is asked for this host's containerd; a client
   * elsewhere may have another way and other name servers. Never rejects; within ten seconds, and
   * at once where it can only be false.
   */
  async isAway(registry: string, isOwn: boolean): Promise<boolean> {
    const finding = this.#find(registry).then((found) =>
      isOwn ? found.isAway : found.isAwayForAll,
    );
    const endpoints = await this.#endpoints(registry);
    if (endpoints.every((one) => this.#hasReached(one))) return finding;
    if (!this.#parts.proxy.containerdProxy().isNone) return false;
    // Of a place that never answered only a definite failure counts, and that comes at once.
    const found = new AbortController();
    const late = delay(DEFINITE_FAILURE_MS, found.signal).then(
      () => false,
      () => false,
    );
    try {
      return await Promise.race([finding, late]);
    } finally {
      found.abort();
    }
  }

  async #find(registry: string): Promise<Finding> {
    // A client elsewhere can name any registry: no request goes to what answers this host alone.
    if (isOfThisLink(registry)) return NOT_ASKED;
    const key = this.#keyOf(registry);
    const known = this.#known.get(key) ?? this.#asking.get(key);
    if (known !== undefined) return known;
    const asking = this.#probe(registry, key);
    this.#asking.set(key, asking);
    try {
      return await asking;
    } finally {
      this.#asking.delete(key);
    }
  }

  async #endpoints(registry: string): Promise<readonly RegistryEndpoint[]> {
    return (await this.#parts.endpointsOf(registry)).filter(isAskedForTags);
  }

  async #probe(registry: string, key: string): Promise<Finding> {
    const ending = new AbortController();
    const endpoints = await this.#endpoints(registry);
    // One place that answers is enough: nobody waits for those that are silent.
    const there = Promise.withResolvers<Finding>();
    const outcomes = endpoints.map(async (one) => {
      const isGone = await this.#isGone(one, ending.signal);
      if (isGone === 'there') there.resolve(THERE);
      return isGone;
    });
    const all = Promise.all(outcomes).then((found) => ({
      isThere: found.includes('there'),
      isAway: found.length > 0 && found.every((one) => one.startsWith('gone')),
      isAwayForAll: found.length > 0 && found.every((one) => one === 'gone'),
    }));
    const finding = await Promise.race([there.promise, all]);
    this.#known.set(key, finding, finding.isThere ? THERE_KEPT_MS : AWAY_KEPT_MS);
    if (finding.isThere) ending.abort(new Error('another place answers'));
    return finding;
  }

  /** At the second try at the latest. Never rejects. */
  async #isGone(
    endpoint: RegistryEndpoint,
    signal: AbortSignal,
  ): Promise<'there' | 'gone' | 'gone-from-here' | 'unknown'> {
    // Of the start: containerd may be another one when the answer comes.
    const key = this.#keyOf(endpoint.baseUrl);
    const { isNone } = this.#parts.proxy.containerdProxy();
    const first = await this.#failure(endpoint, signal);
    const isSure = first?.isDefinite === true && isNone;
    const failure = first && !isSure ? await this.#failureAgain(endpoint, signal) : first;
    if (failure === undefined) {
      this.#reached.set(key, true, REACHED_KEPT_MS);
      return 'there';
    }
    this.#parts.log.debug('upstream does not answer', {
      url: endpoint.baseUrl,
      reason: failure.reason,
      message: failure.message,
    });
    // A refusal comes from the registry's own address; another host may have another way, or
    // another name server.
    if (this.#reached.get(key) === true || (isSure && failure.reason === 'refused')) return 'gone';
    return isSure ? 'gone-from-here' : 'unknown';
  }

  /**
   * After a moment: a registry that restarts, or loads new settings, refuses for less than that.
   */
  async #failureAgain(endpoint: RegistryEndpoint, signal: AbortSignal) {
    await delay(REGISTRY_PROBES_APART_MS, signal).catch(() => {});
    return this.#failure(endpoint, signal);
  }

  /** Undefined where it is there. */
  async #failure(
    endpoint: RegistryEndpoint,
    signal: AbortSignal,
  ): Promise<Pick<UpstreamFailure, 'reason' | 'message' | 'isDefinite'> | undefined> {
    try {
      const { status } = await this.#parts.client.ask(
        endpoint,
        { method: 'GET', path: '/' },
        AbortSignal.any([signal, AbortSignal.timeout(this.#timeoutMs)]),
      );
      if (status < 500) return undefined;
      return { reason: reasonOfStatus(status), message: `status ${status}`, isDefinite: false };
    } catch (error) {
      const failure = failureOf(error);
      return failure.speaksTls ? undefined : failure;
    }
  }

  #hasReached({ baseUrl }: RegistryEndpoint): boolean {
    return this.#reached.get(this.#keyOf(baseUrl)) === true;
  }

  /**
   * A registry or place by the way that containerd has to it now: what another way found is void.
   */
  #keyOf(place: string): string {
    const { description, run } = this.#parts.proxy.containerdProxy();
    return `${place} by ${description} in ${run}`;
  }
}

/** True for the address of a cloud's metadata, such as 169.254.169.254, and the like. */
function isOfThisLink(registry: string): boolean {
  const ip = canonicalIp(parseHostPort(registry, 443)?.host ?? '');
  return isIP(ip) !== 0 && isNowhere(ip);
}

const THERE: Finding = { isThere: true, isAway: false, isAwayForAll: false };
const NOT_ASKED: Finding = { isThere: false, isAway: false, isAwayForAll: false };
