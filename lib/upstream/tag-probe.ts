import { ExpiringMap } from '../base/expiring-map.ts';
import type { Logger } from '../base/log.ts';
import { isAskedForTags, type RegistryEndpoint } from '../hosts/registry-endpoints.ts';
import { MANIFEST_ACCEPT } from '../oci/media-types.ts';
import { tagKey } from '../oci/reference.ts';
import { anonymousToken, parseChallenge } from './anonymous-token.ts';
import type { UpstreamAnswer, UpstreamClient } from './client.ts';
import {
  FAILED_TAG_PROBE_KEPT_MS,
  MAX_PROBED_TAGS,
  TAG_PROBE_KEPT_MS,
  TAG_PROBE_MS,
} from './constants.ts';
import { failureOf, reasonOfStatus, type UpstreamFailureReason } from './failure.ts';

export interface TagName {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

/**
 * What an anonymous request for a tag found. `answers`: the upstream tells what the tag means, or
 * that it does not exist. `denies`: the upstream wants a credential or a certificate that this
 * process does not have, but containerd may have. `fails`: no client gets the tag from there now.
 */
export interface TagProbeResult {
  readonly verdict: 'answers' | 'denies' | 'fails';
  /** Undefined if the tag was found. */
  readonly reason: UpstreamFailureReason | undefined;
  /** For a log line: `https://quay.io/v2: status 429`. */
  readonly message: string;
}

export interface TagProbeParts {
  readonly client: UpstreamClient;
  /** The hosts that containerd asks for a registry, without this daemon. Never rejects. */
  readonly endpointsOf: (registry: string) => Promise<readonly RegistryEndpoint[]>;
  readonly log: Logger;
}

/**
 * Asks the upstream for a tag as containerd does, without credentials. Keeps a good result for ten
 * seconds, a bad one for two.
 */
export class TagProbe {
  readonly #parts: TagProbeParts;
  readonly #timeoutMs: number;
  readonly #known = new ExpiringMap<Promise<TagProbeResult>>(MAX_PROBED_TAGS);

  constructor(parts: TagProbeParts, { timeoutMs = TAG_PROBE_MS } = {}) {
    this.#parts = parts;
    this.#timeoutMs = timeoutMs;
  }

  /** Takes at most two seconds. Never rejects. */
  probe(tag: TagName): Promise<TagProbeResult> {
    const key = tagKey(tag.registry, tag.repository, tag.tag);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const asking = this.#ask(tag);
    this.#known.set(key, asking, TAG_PROBE_KEPT_MS);
    // Kept for less time, so that the next pull notices a registry that is back.
    void asking.then((result) => {
      if (result.verdict !== 'answers') this.#known.set(key, asking, FAILED_TAG_PROBE_KEPT_MS);
    });
    return asking;
  }

  async #ask(tag: TagName): Promise<TagProbeResult> {
    const signal = AbortSignal.timeout(this.#timeoutMs);
    const endpoints = (await this.#parts.endpointsOf(tag.registry)).filter(isAskedForTags);
    const results = await Promise.all(endpoints.map((one) => this.#askOne(one, tag, signal)));
    const best = results.toSorted((a, b) => VERDICT_RANKS[b.verdict] - VERDICT_RANKS[a.verdict])[0];
    const result = best ?? { verdict: 'fails', reason: 'invalid', message: NO_ENDPOINT };
    this.#parts.log.debug('asked the upstream for a tag', { ...tag, ...result });
    return result;
  }

  async #askOne(
    endpoint: RegistryEndpoint,
    tag: TagName,
    signal: AbortSignal,
  ): Promise<TagProbeResult> {
    const say = (
      verdict: TagProbeResult['verdict'],
      reason: TagProbeResult['reason'],
      what: string,
    ) => ({
      verdict,
      reason,
      message: `${withoutSecrets(endpoint.baseUrl)}: ${what}`,
    });
    try {
      const requests = new RepositoryRequests(this.#parts.client, endpoint, tag, signal);
      const { status, headers } = await requests.ask('HEAD', `/manifests/${tag.tag}`);
      if (status === 200) {
        // The sign-in page of a network answers 200 to every request.
        if (isManifest(headers)) return say('answers', undefined, 'status 200');
        return say('denies', 'invalid', 'status 200 without a manifest');
      }
      const reason = reasonOfStatus(status);
      const what = `status ${status}`;
      if (status === 404) {
        // If a mirror does not have the tag, containerd asks the next endpoint.
        if (endpoint.needsNs) return say('fails', reason, what);
        return say((await requests.isReadable()) ? 'answers' : 'denies', reason, what);
      }
      return say(status < 500 && status !== 429 ? 'denies' : 'fails', reason, what);
    } catch (error) {
      const { reason, message } = failureOf(error);
      // containerd may have certificates that this process cannot read.
      return say(reason === 'tls' ? 'denies' : 'fails', reason, message);
    }
  }
}

/** Requests to one endpoint about one repository. All use the token that the first 401 asks for. */
class RepositoryRequests {
  readonly #client: UpstreamClient;
  readonly #endpoint: RegistryEndpoint;
  readonly #tag: TagName;
  readonly #signal: AbortSignal;
  #authorization: string | undefined;
  #wasChallenged = false;

  constructor(
    client: UpstreamClient,
    endpoint: RegistryEndpoint,
    tag: TagName,
    signal: AbortSignal,
  ) {
    this.#client = client;
    this.#endpoint = endpoint;
    this.#tag = tag;
    this.#signal = signal;
  }

  /** `path` is relative to the repository. */
  async ask(method: 'GET' | 'HEAD', path: string): Promise<UpstreamAnswer> {
    const answer = await this.#send(method, path);
    if (answer.status !== 401 || this.#wasChallenged) return answer;
    this.#wasChallenged = true;
    const challenge = parseChallenge(answer.headers['www-authenticate']);
    if (challenge === undefined) return answer;
    const { repository } = this.#tag;
    const token = await anonymousToken(
      this.#client,
      this.#endpoint,
      challenge,
      repository,
      this.#signal,
    );
    if (token === undefined) return answer;
    this.#authorization = `Bearer ${token}`;
    return this.#send(method, path);
  }

  /** True if everyone may read the repository. Some registries answer 404 for a secret one. */
  async isReadable(): Promise<boolean> {
    if ((await this.ask('GET', '/tags/list')).status === 200) return true;
    if (this.#wasChallenged) return false;
    const ping = { method: 'GET', path: '/' } as const;
    return (await this.#client.ask(this.#endpoint, ping, this.#signal)).status === 200;
  }

  #send(method: 'GET' | 'HEAD', path: string): Promise<UpstreamAnswer> {
    const { registry, repository } = this.#tag;
    const query = this.#endpoint.needsNs ? `?ns=${encodeURIComponent(registry)}` : '';
    const request = {
      method,
      path: `/${repository}${path}${query}`,
      accept: MANIFEST_ACCEPT,
      authorization: this.#authorization,
    };
    return this.#client.ask(this.#endpoint, request, this.#signal);
  }
}

function isManifest(headers: UpstreamAnswer['headers']): boolean {
  return (
    headers['docker-content-digest'] !== undefined ||
    MANIFEST_ACCEPT.includes(headers['content-type']?.split(';')[0]?.trim() || 'none')
  );
}

/** The URL of a hosts.toml may contain a password. */
function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^/@]*@/, '//');
}

export const VERDICT_RANKS = { fails: 0, denies: 1, answers: 2 } as const;

const NO_ENDPOINT = 'no host of its hosts.toml may say what a tag means';
