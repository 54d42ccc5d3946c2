import { registryEndpoints } from './registry-endpoints.ts';

/**
 * Where containerd resolves a tag of a registry when this host's own mirror answers 404, as URLs. Never rejects.
 * See `registryEndpoints`, which says more of each.
 */
export async function upstreamUrls(
  configPath: string,
  registry: string,
  isOwn: (url: URL) => boolean,
): Promise<readonly string[]> {
  const paths = configPath.split(':').filter((path) => path !== '');
  const endpoints = await registryEndpoints(paths, registry, isOwn);
  return endpoints
    .filter(({ pulls, resolves }) => pulls && resolves)
    .flatMap(({ baseUrl, fallsBackToHttp }) =>
      fallsBackToHttp ? [baseUrl, baseUrl.replace(/^https/, 'http')] : [baseUrl],
    );
}
