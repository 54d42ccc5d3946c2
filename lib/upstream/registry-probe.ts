import { isIP } from 'node:net';
import { delay } from '../base/abortable.ts';
import { canonicalIp, isNowhere, parseHostPort } from '../base/address.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import type { Logger } from '../base/log.ts';
import { isAskedForTags, type RegistryEndpoint } from '../hosts/registry-endpoints.ts';
import type { ContainerdProxySource } from '../proxy/containerd-proxy.ts';
import type { UpstreamClient } from './client.ts';
import {
  DEFINITE_FAILURE_MS,
  GONE_KEPT_MS,
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
  /** The hosts that containerd asks for a registry, without this daemon. Never rejects. */
  readonly endpointsOf: (registry: string) => Promise<readonly RegistryEndpoint[]>;
  /** The proxy that containerd uses, as far as it is known. */
  readonly proxy: ContainerdProxySource;
  readonly log: Logger;
}

/** The result of a probe of a registry. */
interface Finding {
  /** True if an endpoint answered. */
  readonly isThere: boolean;
  /** True if all endpoints are gone for this host's containerd. */
  readonly isGone: boolean;
  /** True if they are also gone for clients on other hosts. */
  readonly isGoneForAll: boolean;
}

/**
 * Probes whether an upstream registry answers: one anonymous `GET /v2/` to each endpoint that
 * containerd asks, and a second one if the first fails. Any status below 500 is an answer. The
 * result is only a hint: containerd has another resolver, other timeouts and credentials.
 */
export class RegistryProbe {
  readonly #parts: RegistryProbeParts;
  readonly #timeoutMs: number;
  readonly #known = new ExpiringMap<Finding>(MAX_PROBED_REGISTRIES);
  readonly #asking = new Map<string, Promise<Finding>>();
  /** Endpoints that have answered a probe of this process. */
  readonly #reached = new ExpiringMap<true>(MAX_REACHED_ENDPOINTS);

  constructor(parts: RegistryProbeParts, { timeoutMs = REGISTRY_PROBE_MS } = {}) {
    this.#parts = parts;
    this.#timeoutMs = timeoutMs;
  }

  /** The result of a probe in the last seconds, or undefined. */
  known(registry: string): boolean | undefined {
    return this.#known.get(this.#keyOf(registry))?.isThere;
  }

  /** True if an endpoint answers. Never rejects. Takes at most ten seconds. */
  async answers(registry: string): Promise<boolean> {
    return (await this.#find(registry)).isThere;
  }

  /**
   * True if all endpoints that containerd asks are gone. An endpoint is gone if it answered a probe
   * of this process over the same route before and fails twice now, or if nothing listens there and
   * containerd has no proxy. `isOwn`: the question is for this host's containerd. A client on
   * another host may have another route and other name servers. Never rejects. Takes at most ten
   * seconds. Says false at once if an endpoint never answered and containerd may have a proxy.
   */
  async isGone(registry: string, isOwn: boolean): Promise<boolean> {
    const finding = this.#find(registry).then((found) =>
      isOwn ? found.isGone : found.isGoneForAll,
    );
    const endpoints = await this.#endpoints(registry);
    if (endpoints.every((one) => this.#hasReached(one))) return finding;
    if (!this.#parts.proxy.containerdProxy().isNone) return false;
    // Of an endpoint that never answered only a definite failure counts, which comes at once.
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
    // A client on another host can name any registry. It must not cause requests to addresses that
    // only answer this host.
    if (isHostOnly(registry)) return NOT_ASKED;
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
    // One endpoint that answers is enough. The silent ones are not awaited.
    const there = Promise.withResolvers<Finding>();
    const outcomes = endpoints.map(async (one) => {
      const state = await this.#probeEndpoint(one, ending.signal);
      if (state === 'there') there.resolve(THERE);
      return state;
    });
    const all = Promise.all(outcomes).then((found) => ({
      isThere: found.includes('there'),
      isGone: found.length > 0 && found.every((one) => one.startsWith('gone')),
      isGoneForAll: found.length > 0 && found.every((one) => one === 'gone'),
    }));
    const finding = await Promise.race([there.promise, all]);
    this.#known.set(key, finding, finding.isThere ? THERE_KEPT_MS : GONE_KEPT_MS);
    if (finding.isThere) ending.abort(new Error('another endpoint answers'));
    return finding;
  }

  /** Probes an endpoint once or twice. Never rejects. */
  async #probeEndpoint(
    endpoint: RegistryEndpoint,
    signal: AbortSignal,
  ): Promise<'there' | 'gone' | 'gone-from-here' | 'unknown'> {
    // Taken before the probe: containerd may restart, with another proxy, before the answer comes.
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
    // A refused connection is an answer of the registry's own address. Another host may have
    // another route or name server.
    if (this.#reached.get(key) === true || (isSure && failure.reason === 'refused')) return 'gone';
    return isSure ? 'gone-from-here' : 'unknown';
  }

  /**
   * Waits first: a registry that restarts or reloads its settings refuses connections for less
   * time.
   */
  async #failureAgain(endpoint: RegistryEndpoint, signal: AbortSignal) {
    await delay(REGISTRY_PROBES_APART_MS, signal).catch(() => {});
    return this.#failure(endpoint, signal);
  }

  /** Undefined if the endpoint answers. */
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
   * A registry or endpoint with containerd's current route to it. Results of another route do not
   * count.
   */
  #keyOf(target: string): string {
    const { description, run } = this.#parts.proxy.containerdProxy();
    return `${target} by ${description} in ${run}`;
  }
}

/** True for addresses such as 169.254.169.254, where a cloud serves its metadata. */
function isHostOnly(registry: string): boolean {
  const ip = canonicalIp(parseHostPort(registry, 443)?.host ?? '');
  return isIP(ip) !== 0 && isNowhere(ip);
}

const THERE: Finding = { isThere: true, isGone: false, isGoneForAll: false };
const NOT_ASKED: Finding = { isThere: false, isGone: false, isGoneForAll: false };
