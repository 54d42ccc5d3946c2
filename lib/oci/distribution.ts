import { printable } from '../base/printable.ts';
import { type Digest, isDigest } from './digest.ts';
import { isRegistry, isRepository, isTag } from './reference.ts';

/** A request of the pull API of OCI distribution-spec. */
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

/** Error codes of OCI distribution-spec, "Error codes". */
export type OciErrorCode =
  | 'BLOB_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'DENIED'
  | 'UNSUPPORTED';

/**
 * The JSON body of an error answer. `detail` tells what was tried: containerd prints the error of
 * the first host that it asks.
 */
export function ociErrorBody(code: OciErrorCode, message: string, detail?: unknown): string {
  return JSON.stringify({
    errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }],
  });
}

/** Why a URL is not a request of the pull API. */
export interface DistributionProblem {
  readonly code: OciErrorCode;
  readonly message: string;
}

const PATH = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/;

/**
 * Parses the path and query of a URL (`/v2/<repository>/manifests/<tag|digest>?ns=<registry>`).
 * `ns` is the host and port of the reference that containerd pulls. Without it the registry is not
 * known, and a mirror cannot answer.
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

/** Characters of a message. It repeats the path of the request, which may have 16 KiB. */
const MAX_MESSAGE = 200;

/** The path and query that ask a peer for the same content. */
export function distributionPath(request: Exclude<DistributionRequest, { kind: 'base' }>): string {
  const target = 'tag' in request.target ? request.target.tag : request.target.digest;
  const ns = encodeURIComponent(request.registry);
  return `/v2/${request.repository}/${request.kind}s/${target}?ns=${ns}`;
}
