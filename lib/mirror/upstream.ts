import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { codeOf, messageOf } from '../base/errors.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import type { Logger } from '../base/log.ts';
import type { UpstreamCheck } from './mirror.ts';

export interface UpstreamSettings {
  /** HTTP_PROXY, HTTPS_PROXY and NO_PROXY as containerd has them. */
  readonly proxyEnvironment: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number;
}

export interface UpstreamParts {
  readonly log: Logger;
  /** Where containerd asks for a registry besides us; undefined in the list is the registry itself. Never rejects. */
  readonly urlsOf?: (registry: string) => Promise<readonly (string | undefined)[]>;
}

/**
 * Finds out whether an upstream registry is alive: one anonymous `GET /v2/`, a second one when it fails. Any
 * status below 500 will do, a registry that asks for credentials is as alive as one that does not. Only
 * reachability is asked, nothing of the answer is used, so the certificate is not verified.
 */
export class Upstream implements UpstreamCheck {
  readonly #log: Logger;
  readonly #urlsOf: NonNullable<UpstreamParts['urlsOf']>;
  readonly #timeoutMs: number;
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;
  readonly #known = new ExpiringMap<boolean>(MAX_REGISTRIES);
  readonly #asking = new Map<string, Promise<boolean>>();

  constructor(parts: UpstreamParts, settings: UpstreamSettings) {
    const proxyEnv = { ...settings.proxyEnvironment };
    this.#log = parts.log;
    this.#urlsOf = parts.urlsOf ?? (async () => [undefined]);
    this.#timeoutMs = settings.timeoutMs ?? PROBE_MS;
    this.#http = new HttpAgent({ proxyEnv });
    this.#https = new HttpsAgent({ proxyEnv, rejectUnauthorized: false });
  }

  known(registry: string): boolean | undefined {
    return this.#known.get(registry);
  }

  async answers(registry: string): Promise<boolean> {
    const known = this.#known.get(registry) ?? this.#asking.get(registry);
    if (known !== undefined) return known;
    const asking = this.#ask(registry);
    this.#asking.set(registry, asking);
    try {
      return await asking;
    } finally {
      this.#asking.delete(registry);
    }
  }

  async #ask(registry: string): Promise<boolean> {
    const signal = AbortSignal.timeout(this.#timeoutMs);
    const urls = await this.#urlsOf(registry);
    const probes = urls.slice(0, MAX_URLS).map((url) => this.#isAlive(registry, url, signal));
    const alive = await anyOf(probes);
    this.#known.set(registry, alive, alive ? ALIVE_MS : AWAY_MS);
    return alive;
  }

  /** At the second try at the latest. Never rejects. */
  async #isAlive(registry: string, url: string | undefined, signal: AbortSignal): Promise<boolean> {
    const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
    const probe = async () => {
      try {
        return url === undefined
          ? await this.#probe(host, signal)
          : (await this.#statusOf(pingOf(url), signal)) < 500;
      } catch (error) {
        const fields = { registry, url, message: messageOf(error) };
        this.#log.debug('upstream does not answer', fields);
        return isTlsAlert(error);
      }
    };
    return (await probe()) || (!signal.aborted && (await probe()));
  }

  /** https first; http only for who does not speak TLS there. Rejects when there is no answer at all. */
  async #probe(host: string, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.#statusOf(`https://${host}/v2/`, signal)) < 500;
    } catch (error) {
      if (isTlsAlert(error)) return true;
      const code = codeOf(error) ?? '';
      const hasPort = /:\d+$/.test(host);
      if (!NOT_TLS.test(code) && (hasPort || code !== 'ECONNREFUSED')) throw error;
      const status = await this.#statusOf(`http://${host}/v2/`, signal);
      // On port 80 beside a closed 443, any web server may answer: a registry says 200 or 401 here.
      return hasPort ? status < 500 : status === 200 || status === 401;
    }
  }

  #statusOf(url: string, signal: AbortSignal): Promise<number> {
    const isTls = url.startsWith('https:');
    const [send, agent] = isTls ? [httpsRequest, this.#https] : [httpRequest, this.#http];
    return new Promise((resolve, reject) => {
      const headers = { 'User-Agent': 'spegel' };
      const request = send(url, { agent, signal, headers }, (response) => {
        resolve(response.statusCode ?? 0);
        request.destroy();
      });
      request.on('error', reject);
      request.end();
    });
  }
}

/**
 * For both tries together; a hiccup must not make an old tag of a new one. containerd alone would wait longer for
 * a registry that is silent.
 */
const PROBE_MS = 5_000;

/** Long enough for the manifests of one image, short enough that a moved tag is not missed. */
const ALIVE_MS = 5_000;

/** Finding out takes seconds when it is silent: not again for every image of a rollout. */
const AWAY_MS = 10_000;

/** Where containerd asks, of a host that `override_path` may have given a path of its own. */
function pingOf(url: string): string {
  return `${url.replace(/\/+$/, '').replace(/\/v2(?=\/|$).*/, '')}/v2/`;
}

/** An alert is TLS: whoever sends it is there, and wants a certificate of its client or a newer version. */
function isTlsAlert(error: unknown): boolean {
  return NOT_TLS.test(codeOf(error) ?? '') && TLS_ALERT.test(messageOf(error));
}

/** True as soon as one is; false when all are. They never reject. */
function anyOf(probes: readonly Promise<boolean>[]): Promise<boolean> {
  const wins = probes.map((probe) => probe.then((alive) => alive || Promise.reject(new Error())));
  return Promise.any(wins).catch(() => false);
}

/** Hosts of one hosts.toml that are asked. */
const MAX_URLS = 8;

/** containerd names a handful; `ns` can be anything. */
const MAX_REGISTRIES = 64;

/** OpenSSL's words for an alert: `ssl/tls alert handshake failure … SSL alert number 40`. */
const TLS_ALERT = /\balert\b/;

/** What OpenSSL and Node say when the other side speaks plain HTTP, or hangs up on a TLS hello. */
const NOT_TLS = /^(?:ERR_SSL_|EPROTO$|ECONNRESET$)/;
