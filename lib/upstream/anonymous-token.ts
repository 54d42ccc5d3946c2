import type { RegistryEndpoint } from '../hosts/registry-endpoints.ts';
import type { UpstreamClient } from './client.ts';
import { reasonOfStatus, UpstreamFailure } from './failure.ts';

/** What a 401 asks for (RFC 6750, 3; distribution's token specification). */
export interface BearerChallenge {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string | undefined;
}

/**
 * Reads a `WWW-Authenticate` header. Undefined where no bearer token is asked for, or nobody says
 * where it is.
 */
export function parseChallenge(header: string | undefined): BearerChallenge | undefined {
  const [, parameters] = /^bearer\s+(.*)$/i.exec(header ?? '') ?? [];
  if (parameters === undefined) return undefined;
  const values = new Map<string, string>();
  for (const [, name = '', quoted, plain] of parameters.matchAll(PARAMETER)) {
    values.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '');
  }
  const realm = values.get('realm') ?? '';
  if (!URL.canParse(realm) || !/^https?:$/.test(new URL(realm).protocol)) return undefined;
  return { realm: new URL(realm), service: values.get('service'), scope: values.get('scope') };
}

/**
 * The token that a registry gives to everybody, for pulling from one repository; undefined where it
 * gives none. Rejects with UpstreamFailure where the token's server does not answer, or answers 429
 * or 5xx.
 */
export async function anonymousToken(
  client: UpstreamClient,
  endpoint: RegistryEndpoint,
  challenge: BearerChallenge,
  repository: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const realm = challenge.realm.href;
  const url = new URL(realm);
  if (challenge.service !== undefined) url.searchParams.set('service', challenge.service);
  url.searchParams.set('scope', challenge.scope ?? `repository:${repository}:pull`);
  const { status, body } = await client.get(url, endpoint, signal);
  if (status === 429 || status >= 500) {
    // Docker Hub limits its tokens, too: nobody gets one now, whatever the credential.
    throw new UpstreamFailure(reasonOfStatus(status), `${realm}: status ${status}`);
  }
  if (status !== 200) return undefined;
  const { token, access_token: other } = parseObject(body);
  return [token, other].find((text) => typeof text === 'string' && TOKEN.test(text)) as
    | string
    | undefined;
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** From the beginning of a name on: tried from within as well, a name of 16 KB takes a second. */
const PARAMETER = /(?<![a-z_-])([a-z_-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s,"]+))/gi;

/** RFC 6750, 2.1: what a header can carry. */
const TOKEN = /^[\w.~+/-]{1,16384}=*$/;
