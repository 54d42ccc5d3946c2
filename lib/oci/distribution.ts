import { printable } from '../base/printable.ts';
import { type Digest, isDigest } from './digest.ts';
import { isRegistry, isRepository, isTag } from './reference.ts';

/** What a request of the OCI distribution-spec's pull API asks for. */
export type DistributionRequest =
  | { readonly kind: 'base' }
  | {
      readonly kind: 'manifest';
      readonly registry: string;
      readonly repository: string;
      readonly target: { readonly tag: string } | { readonly digest: Digest };
    }
  | {
      readonly kind: 'blob';
      readonly registry: string;
      readonly repository: string;
      readonly target: { readonly digest: Digest };
    };

/** Why a URL is no request of the pull API, as an error code of the distribution-spec and a sentence. */
export interface DistributionProblem {
  readonly code: 'NAME_INVALID' | 'DIGEST_INVALID' | 'MANIFEST_INVALID' | 'UNSUPPORTED';
  readonly message: string;
}

const PATH = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/;

/**
 * Reads path and query of a URL (`/v2/<repository>/manifests/<tag|digest>?ns=<registry>`). `ns` is the host,
 * with its port, of the reference that containerd pulls; without it the registry is not known and the
 * request is of no use to a mirror.
 */
export function parseDistributionUrl(url: string): DistributionRequest | DistributionProblem {
  const question = url.indexOf('?');
  const path = question === -1 ? url : url.slice(0, question);
  if (path === '/v2/' || path === '/v2') return { kind: 'base' };
  const match = PATH.exec(path);
  const [, repository = '', kind, target = ''] = match ?? [];
  if (match === null) {
    return problem('UNSUPPORTED', `expected /v2/<name>/manifests|blobs/<reference>, got ${path}`);
  }
  if (!isRepository(repository)) {
    return problem('NAME_INVALID', `${JSON.stringify(repository)} is not a repository name`);
  }
  const registry = new URLSearchParams(question === -1 ? '' : url.slice(question)).get('ns') ?? '';
  if (!isRegistry(registry)) {
    return problem('NAME_INVALID', `expected ?ns=<registry host>, got ${JSON.stringify(registry)}`);
  }
  if (isDigest(target)) {
    const digest = { digest: target };
    return kind === 'blobs'
      ? { kind: 'blob', registry, repository, target: digest }
      : { kind: 'manifest', registry, repository, target: digest };
  }
  if (kind === 'blobs' || target.includes(':')) {
    return problem('DIGEST_INVALID', `expected sha256:<64 hex digits>, got ${target}`);
  }
  if (!isTag(target)) return problem('MANIFEST_INVALID', `${target} is not a tag`);
  return { kind: 'manifest', registry, repository, target: { tag: target } };
}

function problem(code: DistributionProblem['code'], message: string): DistributionProblem {
  return { code, message: printable(message, MAX_MESSAGE) };
}

/** A message echoes what came: bounded, since what came may be 16 KiB of path. */
const MAX_MESSAGE = 200;

/** The path and query that asks a peer for the same thing. */
export function distributionPath(request: Exclude<DistributionRequest, { kind: 'base' }>): string {
  const target = 'tag' in request.target ? request.target.tag : request.target.digest;
  const ns = encodeURIComponent(request.registry);
  return `/v2/${request.repository}/${request.kind}s/${target}?ns=${ns}`;
}
