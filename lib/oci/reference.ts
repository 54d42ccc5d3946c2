import { isIPv6 } from 'node:net';
import { type Digest, isDigest } from './digest.ts';

/**
 * An image reference as containerd writes it: `<registry>/<repository>[:<tag>][@<digest>]`. The
 * registry is the host and port in containerd's terms (`docker.io`, not `registry-1.docker.io`).
 */
export interface Reference {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

/**
 * Characters: OCI distribution-spec, "Pulling manifests". 255 bytes: the reference package of
 * distribution.
 */
const REPOSITORY =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const REGISTRY =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,252}[a-zA-Z0-9])?|\[([^\]]{2,45})\])(?::([0-9]{1,5}))?$/;
const MAX_PORT = 65_535;
const MAX_REPOSITORY_LENGTH = 255;

export function isRepository(text: string): boolean {
  return text.length <= MAX_REPOSITORY_LENGTH && REPOSITORY.test(text);
}

export function isTag(text: string): boolean {
  return TAG.test(text);
}

/**
 * True for the host of a registry, with or without a port. IPv6 is in brackets and without a zone.
 */
export function isRegistry(text: string): boolean {
  const match = REGISTRY.exec(text);
  if (match === null) return false;
  const [, v6, port] = match;
  // The host is dialled later. A port that no socket can have would throw there.
  if (port !== undefined && (Number(port) === 0 || Number(port) > MAX_PORT)) return false;
  return v6 === undefined || (isIPv6(v6) && !v6.includes('%'));
}

/**
 * Parses the name of a containerd image record. Undefined if it is not a reference: CRI also writes
 * records named by a config digest (`sha256:…`).
 */
export function parseReference(name: string): Reference | undefined {
  const slash = name.indexOf('/');
  if (slash < 1) return undefined;
  const registry = name.slice(0, slash);
  const at = name.indexOf('@', slash);
  const digest = at === -1 ? undefined : name.slice(at + 1);
  const path = name.slice(slash + 1, at === -1 ? undefined : at);
  const colon = path.indexOf(':');
  const repository = colon === -1 ? path : path.slice(0, colon);
  const tag = colon === -1 ? undefined : path.slice(colon + 1);
  if (!isRegistry(registry) || !isRepository(repository)) return undefined;
  if (tag !== undefined && !isTag(tag)) return undefined;
  if (digest !== undefined && !isDigest(digest)) return undefined;
  return { registry, repository, tag, digest };
}

/** `<registry>/<repository>:<tag>`: the DHT key of a tag, the same as Go Spegel's. */
export function tagKey(registry: string, repository: string, tag: string): string {
  return `${registry}/${repository}:${tag}`;
}
