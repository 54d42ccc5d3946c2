import { canonicalIp, isLoopback } from '../../base/address.ts';
import { isRegistry } from '../../oci/reference.ts';

/**
 * containerd's name for the directory of all registries without one of their own (its hosts.md).
 */
export const DEFAULT_DIRECTORY = '_default';

/**
 * The names of directories in which containerd looks for a registry's settings, in its order:
 * `host_port_`, `host:port`. The first that exists counts, also when it holds no hosts.toml. Then
 * comes `_default`.
 */
export function directoryNames(registry: string): string[] {
  const port = /^(.*):(\d+)$/.exec(registry);
  return [...(port === null ? [] : [`${port[1]}_${port[2]}_`]), registry];
}

/**
 * The registry of a directory's name, and `_default` for `_default`. Undefined for a name that is
 * no registry's.
 */
export function registryOfDirectory(name: string): string | undefined {
  if (name === DEFAULT_DIRECTORY) return name;
  const escaped = /^(.*)_(\d+)_$/.exec(name);
  const registry = escaped === null ? name : `${escaped[1]}:${escaped[2]}`;
  return isRegistry(registry) ? registry.toLowerCase() : undefined;
}

/** The host of a registry: Docker Hub's name in references is not its host. */
export function hostOf(registry: string): string {
  return registry === 'docker.io' ? 'registry-1.docker.io' : registry;
}

/**
 * The `server` for the file of a registry. `given` is the URL by which the user named it. Undefined
 * for a local registry without a URL: containerd tries it without TLS too, and a `server` would end
 * that.
 */
export function serverUrl(registry: string, given: string | undefined): string | undefined {
  if (registry === DEFAULT_DIRECTORY) return undefined;
  if (registry === 'docker.io') return `https://${hostOf(registry)}`;
  if (given !== undefined) return given;
  return isLocalRegistry(registry) ? undefined : `https://${registry}`;
}

/**
 * Whether containerd also asks the registry over plain HTTP, without verification: its
 * docker.IsLocalhost.
 */
export function isLocalRegistry(registry: string): boolean {
  const [, v6, name = ''] = /^(?:\[(.*)\]:\d*|([^:]*)(?::\d*)?)$/.exec(registry) ?? [];
  return name === 'localhost' || isLoopback(canonicalIp(v6 ?? name));
}
