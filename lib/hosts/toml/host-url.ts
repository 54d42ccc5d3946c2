import { posix } from 'node:path';

/** A host as containerd reads it from a `server` or from the name of a `[host."…"]` table. */
export interface HostUrl {
  /** In lower case; containerd can ask only `http` and `https`. */
  readonly scheme: string;
  /**
   * Host with its port, as written. Empty where the URL names no host: a `server` without a host is
   * the registry itself.
   */
  readonly host: string;
  /**
   * The path in front of `/<repository>/manifests/<tag>`, decoded, without a trailing slash; empty
   * for the root.
   */
  readonly path: string;
}

/** The value of a `server` that is absent or empty. */
export const NO_HOST: HostUrl = { scheme: '', host: '', path: '' };

/** Go's `url.Parse`: scheme, authority, path. What follows `?` or `#` plays no part. */
const PARTS = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)/i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what Go rejects.
const CONTROL = /[\0-\x1f\x7f]/;
const NO_HOST_CHARACTER = /[ \\^`{|}]/;
const BAD_PORT = /:(?!\d*$)[^:\]]*$/;
const BAD_ESCAPE = /%(?![0-9a-f]{2})/i;

/**
 * Reads a URL as containerd does (core/remotes/docker/config/hosts.go and Go's net/url). It puts
 * `https://` in front of text that does not begin with `http`, and `/v2` behind a path that does
 * not end with it, unless `overridePath`. Undefined: containerd rejects the whole file.
 */
export function hostUrl(written: string, overridePath: boolean): HostUrl | undefined {
  if (written === '') return NO_HOST;
  const text = written.startsWith('http') ? written : `https://${written}`;
  if (CONTROL.test(text)) return undefined;
  const [, scheme = '', authority = '', rawPath = ''] = PARTS.exec(text) ?? [];
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  if (NO_HOST_CHARACTER.test(host) || BAD_PORT.test(host)) return undefined;
  const path = decoded(rawPath);
  if (path === undefined) return undefined;
  return { scheme: scheme.toLowerCase(), host, path: apiPath(path, overridePath) };
}

function decoded(path: string): string | undefined {
  if (BAD_ESCAPE.test(path)) return undefined;
  try {
    return decodeURIComponent(path);
  } catch {
    // Go decodes bytes, which need not be UTF-8.
    return path;
  }
}

function apiPath(path: string, overridePath: boolean): string {
  const clean = posix.join('/', path).replace(/\/$/, '');
  return overridePath || clean.endsWith('/v2') ? clean : `${clean}/v2`;
}
