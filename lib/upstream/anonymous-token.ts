import type { RegistryEndpoint } from '../hosts/registry-endpoints.ts';
import type { UpstreamClient } from './client.ts';
import { reasonOfStatus, UpstreamFailure } from './failure.ts';

/** The challenge of a 401 answer (RFC 6750, 3; token specification of distribution). */
export interface BearerChallenge {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string | undefined;
}

/**
 * Reads a `WWW-Authenticate` header. Undefined if it does not ask for a bearer token, or does not
 * tell where to get it.
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
 * The token that a registry gives to everyone for pulling from a repository, or undefined if it
 * gives none. Rejects with UpstreamFailure if the token server does not answer, or answers 429 or
 * 5xx.
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
    // Docker Hub also limits tokens. No client gets one now, whatever its credential.
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

/**
 * Matches from the start of a name only. Matches that begin within a name take a second for a name
 * of 16 KB.
 */
const PARAMETER = /(?<![a-z_-])([a-z_-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s,"]+))/gi;

/** RFC 6750, 2.1: the characters that a header can carry. */
const TOKEN = /^[\w.~+/-]{1,16384}=*$/;
