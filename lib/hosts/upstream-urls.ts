import { registryEndpoints } from './registry-endpoints.ts';

/**
 * Where containerd resolves a tag of a registry when this host's own mirror answers 404, as URLs. Never rejects.
 * See `registryEndpoints`, which says more of each.
 */
export async function upstreamUrls(
  configPaths: readonly string[],
  registry: string,
  isOwn: (url: URL) => boolean,
): Promise<readonly string[]> {
  const endpoints = await registryEndpoints(configPaths, registry, isOwn);
  return endpoints
    .filter(({ pulls, resolves }) => pulls && resolves)
    .flatMap(({ baseUrl, fallsBackToHttp }) =>
      fallsBackToHttp ? [baseUrl, baseUrl.replace(/^https/, 'http')] : [baseUrl],
    );
}
