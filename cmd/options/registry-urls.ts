import { SpegelError } from '../../lib/base/errors.ts';
import type { MirroredRegistry } from '../../lib/hosts/configuration-settings.ts';
import { isRegistry } from '../../lib/oci/reference.ts';
import { ALL_REGISTRIES, parseRegistry, usageProblem } from './values.ts';

/**
 * Parses a registry: its URL, or its host alone. `_default` and `*` mean all, with `_default` as
 * host.
 */
export function parseMirroredRegistry(text: string): MirroredRegistry {
  const host = parseRegistry(text);
  const [, scheme] = /^(https?):\/\//i.exec(text) ?? [];
  return { host, url: scheme === undefined ? undefined : `${scheme.toLowerCase()}://${host}` };
}

/** Parses a registry to exclude: one registry, not all. */
export function parseExcludedRegistry(text: string): MirroredRegistry {
  const registry = parseMirroredRegistry(text);
  if (registry.host === ALL_REGISTRIES) {
    throw usageProblem(
      'a registry such as https://quay.io (to mirror only some, name them with --mirrored-registries)',
      text,
    );
  }
  return registry;
}

/**
 * Parses the URL of a mirror as containerd 1.6 to 2.3 reads it: http or https, no path, query or
 * user.
 */
export function parseMirrorTarget(text: string): string {
  const [, scheme = '', host = ''] = /^(https?):\/\/(.*)$/i.exec(text) ?? [];
  if (!isRegistry(host)) {
    throw usageProblem('a URL such as http://127.0.0.1:5000, without path or user', text);
  }
  if (host.startsWith('[')) {
    throw usageProblem(
      'a mirror without IPv6 address (containerd 1.x rejects every file that names one), such as http://localhost:5000',
      text,
    );
  }
  return `${scheme}://${host}`.toLowerCase();
}

/** Which registries are mirrored: all or not, and those that are named. */
export interface RegistryChoice {
  readonly isForAll: boolean;
  readonly registries: readonly MirroredRegistry[];
  readonly excluded: readonly string[];
  /** The excluded ones that were named by a URL with http. */
  readonly excludedHttp: readonly string[];
}

/**
 * Combines the lists. Throws SpegelError ERR_USAGE for lists that contradict each other or
 * themselves.
 */
export function chooseRegistries(
  mirrored: readonly MirroredRegistry[],
  notMirrored: readonly MirroredRegistry[],
): RegistryChoice {
  const excluded = [...new Set(notMirrored.map(({ host }) => host))];
  const wildcards = mirrored.filter(({ host }) => host === ALL_REGISTRIES).length;
  if (wildcards > 1)
    fail('--mirrored-registries', `${ALL_REGISTRIES} at most once`, `${wildcards}`);
  const registries: MirroredRegistry[] = [];
  for (const registry of mirrored) {
    const { host, url } = registry;
    if (excluded.includes(host)) {
      fail('--mirrored-registries', 'a registry that --excluded-registries does not name', host);
    }
    const same = registries.find((other) => other.host === host);
    if (same !== undefined && same.url !== url) {
      fail(
        '--mirrored-registries',
        `one URL for ${host}`,
        `${same.url ?? host} and ${url ?? host}`,
      );
    }
    if (same === undefined && host !== ALL_REGISTRIES) registries.push(registry);
  }
  const isForAll = mirrored.length === 0 || wildcards > 0;
  if (!isForAll && excluded.length > 0) {
    fail(
      '--excluded-registries',
      'all registries to be mirrored beside it',
      '--mirrored-registries',
    );
  }
  const excludedHttp = excluded.filter((host) => schemeOf(host, notMirrored) === 'http');
  return { isForAll, registries, excluded, excludedHttp };
}

/** The scheme of the URLs that name a host. Throws if they differ. */
function schemeOf(host: string, named: readonly MirroredRegistry[]): string | undefined {
  const urls = named.flatMap((one) => (one.host === host ? (one.url ?? []) : []));
  const [url, other] = new Set(urls);
  if (other !== undefined)
    fail('--excluded-registries', `one URL for ${host}`, `${url} and ${other}`);
  return url?.split(':')[0];
}

function fail(flag: string, expected: string, got: string): never {
  throw new SpegelError('ERR_USAGE', `${flag}: expected ${expected}, got ${got}`);
}
