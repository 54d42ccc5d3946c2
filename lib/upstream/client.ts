import { readFile } from 'node:fs/promises';
import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import type { RegistryEndpoint } from '../hosts/registry-endpoints.ts';
import type { ContainerdProxySource } from '../proxy/containerd-proxy.ts';
import { routeOf } from '../proxy/go-proxy.ts';
import { ADDRESS_FAMILY_MS, MAX_BODY_BYTES, MAX_REDIRECTS } from './constants.ts';
import { type HostAddress, lookUpHost } from './dns-lookup.ts';
import { failureOf, speaksNoTls, UpstreamFailure } from './failure.ts';

/** A request without its endpoint. */
export interface UpstreamRequest {
  readonly method: 'GET' | 'HEAD';
  /** Path below the base URL of the endpoint, with a slash: `/library/nginx/manifests/1`. */
  readonly path: string;
  readonly accept?: string | undefined;
  /** Header for an anonymous token. */
  readonly authorization?: string | undefined;
}

export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** At most `MAX_BODY_BYTES`. Empty if the status is not 200, or the method is HEAD. */
  readonly body: string;
}

export interface UpstreamClientParts {
  readonly proxy: ContainerdProxySource;
  readonly lookUpHost?: (name: string) => Promise<HostAddress[]>;
}

/**
 * Asks upstream registries as this host's containerd does: with its hosts.toml, its certificates
 * and its proxy.
 */
export class UpstreamClient {
  readonly #parts: UpstreamClientParts;

  constructor(parts: UpstreamClientParts) {
    this.#parts = parts;
  }

  /** Rejects with UpstreamFailure if no HTTP answer comes before the signal is aborted. */
  async ask(
    endpoint: RegistryEndpoint,
    request: UpstreamRequest,
    signal: AbortSignal,
  ): Promise<UpstreamAnswer> {
    const url = new URL(`${endpoint.baseUrl}${request.path}`);
    try {
      return await this.#follow(url, endpoint, request, signal);
    } catch (error) {
      if (!mayBePlain(url, error)) throw failureOf(error);
    }
    url.protocol = 'http:';
    // Headers of the hosts.toml that containerd sends over TLS only are not sent in plain text.
    const plain = endpoint.fallsBackToHttp ? endpoint : { ...endpoint, headers: {} };
    try {
      return await this.#follow(url, plain, request, signal);
    } catch (error) {
      throw failureOf(error);
    }
  }

  /**
   * Sends a GET to any URL, such as that of a token server, with the certificates of the endpoint
   * and without its headers.
   */
  async get(url: URL, endpoint: RegistryEndpoint, signal: AbortSignal): Promise<UpstreamAnswer> {
    try {
      const bare = { ...endpoint, headers: {} };
      return await this.#follow(url, bare, { method: 'GET', path: '' }, signal);
    } catch (error) {
      throw failureOf(error);
    }
  }

  async #follow(
    first: URL,
    endpoint: RegistryEndpoint,
    request: UpstreamRequest,
    signal: AbortSignal,
  ): Promise<UpstreamAnswer> {
    let url = first;
    for (let redirects = 0; ; redirects += 1) {
      const isFirst = url.host === first.host && url.protocol === first.protocol;
      // After a redirect to another host neither secrets nor headers of the endpoint are sent.
      const own = isFirst ? request : { ...request, authorization: undefined };
      const answer = await this.#once(
        url,
        isFirst ? endpoint : { ...endpoint, headers: {} },
        own,
        signal,
      );
      const { location } = answer.headers;
      if (answer.status < 300 || answer.status > 399 || location === undefined) return answer;
      if (redirects === MAX_REDIRECTS || !URL.canParse(location, url)) return answer;
      url = new URL(location, url);
      if (!/^https?:$/.test(url.protocol)) return answer;
    }
  }

  async #once(
    url: URL,
    endpoint: RegistryEndpoint,
    request: UpstreamRequest,
    signal: AbortSignal,
  ): Promise<UpstreamAnswer> {
    const isTls = url.protocol === 'https:';
    const agent = this.#agentFor(url);
    const options = {
      method: request.method,
      headers: headersOf(endpoint, request),
      agent,
      signal,
      lookup: this.#lookup,
      autoSelectFamilyAttemptTimeout: ADDRESS_FAMILY_MS,
      ...(isTls ? await tlsOptions(endpoint) : {}),
    };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const sent = (isTls ? httpsRequest : httpRequest)(url, options, resolve);
    sent.on('error', reject);
    // A 101 without an upgrade in the request causes neither an answer nor an error.
    sent.on('close', () => reject(new UpstreamFailure('closed', 'no HTTP answer')));
    sent.end();
    try {
      const response = await promise;
      const status = response.statusCode ?? 0;
      const hasBody = request.method === 'GET' && status === 200;
      return { status, headers: response.headers, body: hasBody ? await textOf(response) : '' };
    } finally {
      sent.destroy();
      agent.destroy();
    }
  }

  /** Agents are made per request: another URL may have another proxy. */
  #agentFor(url: URL): HttpAgent | HttpsAgent {
    const route = routeOf(url, this.#parts.proxy.containerdProxy().environment);
    if (route.kind === 'unusable') throw new UpstreamFailure('invalid', UNUSABLE_PROXY);
    const proxyEnv = route.kind === 'proxy' ? route.proxyEnv : {};
    return url.protocol === 'https:' ? new HttpsAgent({ proxyEnv }) : new HttpAgent({ proxyEnv });
  }

  readonly #lookup: LookupFunction = (name, { all }, callback) => {
    const look = this.#parts.lookUpHost ?? lookUpHost;
    look(name).then(
      (found) => {
        if (all) callback(null, [...found]);
        else callback(null, found[0]?.address ?? '', found[0]?.family);
      },
      (error) => callback(error, ''),
    );
  };
}

function headersOf(endpoint: RegistryEndpoint, request: UpstreamRequest) {
  const { accept, authorization } = request;
  return {
    'User-Agent': 'spegel',
    ...(accept === undefined ? {} : { Accept: accept }),
    ...endpoint.headers,
    ...(authorization === undefined ? {} : { Authorization: authorization }),
  };
}

/**
 * Uses the certificates of the system, of Node and of the endpoint. Leaves out files that cannot be
 * read.
 */
async function tlsOptions({ ca, client, skipVerify }: RegistryEndpoint) {
  const rejectUnauthorized = !skipVerify;
  if (ca.length === 0 && client.length === 0) {
    plainContext ??= createSecureContext({ ca: [...systemCertificates()] });
    return { secureContext: plainContext, rejectUnauthorized };
  }
  const read = (path: string) => readFile(path, 'utf8').catch(() => undefined);
  const own = await Promise.all(ca.map(read));
  const pairs = await Promise.all(
    client.map(async ({ cert, key = cert }) => [await read(cert), await read(key)] as const),
  );
  const usable = pairs.filter(([cert, key]) => cert !== undefined && key !== undefined);
  return {
    ca: [...systemCertificates(), ...own.flatMap((text) => text ?? [])],
    cert: usable.flatMap(([cert]) => cert ?? []),
    key: usable.flatMap(([, key]) => key ?? []),
    rejectUnauthorized,
  };
}

/**
 * The context of endpoints without own certificates. It takes 20 ms to build from hundreds of
 * certificates.
 */
let plainContext: SecureContext | undefined;
let systemCa: readonly string[] | undefined;

function systemCertificates(): readonly string[] {
  systemCa ??= [...new Set([...getCACertificates('system'), ...getCACertificates('bundled')])];
  return systemCa;
}

/**
 * True for an https URL where the other side speaks plain HTTP or, without a port in the URL,
 * nothing listens on port 443.
 */
function mayBePlain(url: URL, error: unknown): boolean {
  if (url.protocol !== 'https:') return false;
  return speaksNoTls(error) || (url.port === '' && failureOf(error).reason === 'refused');
}

async function textOf(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    size += piece.byteLength;
    if (size > MAX_BODY_BYTES) throw new Error(`an answer of more than ${MAX_BODY_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

const UNUSABLE_PROXY = "this process cannot use containerd's proxy";
