/**
 * Asks for tags as our reading of a certs.d says that containerd does. A program, started inside of
 * a host's network namespace: `endpoint-asker.ts SPEC`, SPEC being an AskerSpec as JSON.
 */
import { readFileSync } from 'node:fs';
import http, { type RequestOptions } from 'node:http';
import https from 'node:https';
import { type RegistryEndpoint, registryEndpoints } from '../../lib/hosts/registry-endpoints.ts';
import { OwnRegistry } from '../../lib/http/own-registry.ts';

export interface AskerSpec {
  /** Whom this host's system trusts. */
  readonly systemCa: string;
  /** Of the registry that is this host's own. */
  readonly ownPort: number;
  readonly tags: readonly {
    readonly configPaths: readonly string[];
    readonly registry: string;
    /** `<repository>/manifests/<tag>` */
    readonly path: string;
  }[];
}

const TIMEOUT_MS = 2000;
const { systemCa, ownPort, tags } = JSON.parse(process.argv[2] ?? '') as AskerSpec;
const own = new OwnRegistry({ host: '', port: ownPort });

for (const { configPaths, registry, path } of tags) {
  const endpoints = await registryEndpoints(configPaths, registry, (url) => own.isAt(url));
  for (const endpoint of endpoints.filter(({ pulls, resolves }) => pulls && resolves)) {
    const query = endpoint.needsNs ? `?ns=${encodeURIComponent(registry)}` : '';
    const url = `${endpoint.baseUrl}/${path}${query}`;
    const code = await ask(url, endpoint).catch(() => 'unreadable');
    const isNoTls = code === 'EPROTO' || code?.startsWith('ERR_SSL_');
    if (endpoint.fallsBackToHttp && isNoTls) await ask(url.replace(/^https/, 'http'), endpoint);
  }
}

/** The code of the error; undefined for an answer. Rejects where a certificate cannot be read. */
async function ask(url: string, endpoint: RegistryEndpoint): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const headers = Object.entries(endpoint.headers).map(([name, values]) => [name, [...values]]);
  const options: RequestOptions = {
    method: 'HEAD',
    headers: Object.fromEntries(headers) as Record<string, string[]>,
    agent: false,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  };
  const request = url.startsWith('https:')
    ? https.request(url, { ...options, ...tlsOf(endpoint) })
    : http.request(url, options);
  request
    .on('response', (answer) => answer.resume().on('close', () => resolve(undefined)))
    .on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'))
    .end();
  return promise;
}

function tlsOf({ ca, client, skipVerify }: RegistryEndpoint): https.RequestOptions {
  return {
    ca: [systemCa, ...ca].map((path) => readFileSync(path)),
    cert: client.map(({ cert }) => readFileSync(cert)),
    key: client.map(({ cert, key }) => readFileSync(key ?? cert)),
    rejectUnauthorized: !skipVerify,
  };
}
