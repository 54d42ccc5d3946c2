import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import type { RegistryEndpoint } from '../../lib/hosts/registry-endpoints.ts';
import { type ContainerdProxy, proxyOf, UNKNOWN_PROXY } from '../../lib/proxy/containerd-proxy.ts';
import { UpstreamClient } from '../../lib/upstream/client.ts';
import { listenLocally } from '../support/listen.ts';

export const NO_PROXY = proxyOf({});

/** An endpoint of an upstream as a hosts.toml gives it. */
export function endpoint(address: string, more: Partial<RegistryEndpoint> = {}): RegistryEndpoint {
  return {
    baseUrl: `http://${address}/v2`,
    fallsBackToHttp: false,
    needsNs: false,
    pulls: true,
    resolves: true,
    ca: [],
    client: [],
    skipVerify: false,
    headers: {},
    ...more,
  };
}

export function clientWith(proxy: ContainerdProxy = UNKNOWN_PROXY): UpstreamClient {
  return new UpstreamClient({ proxy: { containerdProxy: () => proxy } });
}

/** A server that answers with `answer` and remembers `METHOD path`. */
export async function startServer(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ readonly address: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  return { address: await listenLocally((stop) => t.after(stop), server), asked };
}

export const MANIFEST_HEADERS = {
  'Content-Type': 'application/vnd.oci.image.manifest.v1+json',
  'Docker-Content-Digest': `sha256:${'1'.repeat(64)}`,
};
