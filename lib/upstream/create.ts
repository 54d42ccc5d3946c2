import type { Instruments } from '../base/instruments.ts';
import type { Logger } from '../base/log.ts';
import type { RegistryEndpoint } from '../hosts/registry-endpoints.ts';
import type { ContainerdProxySource } from '../proxy/containerd-proxy.ts';
import { UpstreamClient } from './client.ts';
import { PullAttempts } from './pull-attempts.ts';
import { PullFailureLog } from './pull-failure-log.ts';
import { RegistryProbe } from './registry-probe.ts';
import {
  FLEET_ALWAYS_ANSWERS,
  type PullMonitor,
  type TagDecider,
  UpstreamFirst,
} from './tag-decision.ts';
import { TagProbe } from './tag-probe.ts';

export interface UpstreamParts {
  readonly log: Logger;
  readonly instruments: Instruments;
  /** Where containerd asks for a registry, besides this daemon. Never rejects. */
  readonly endpointsOf: (registry: string) => Promise<readonly RegistryEndpoint[]>;
  /** Undefined: the content store is none of containerd's, so nothing is known of its pulls. */
  readonly containerd: (PullMonitor & Watched) | undefined;
  readonly proxy: ContainerdProxySource;
}

/** What is heard of containerd's pulls. */
interface Watched {
  listen(listeners: { readonly onImage: (name: string) => void; readonly onGap: () => void }): void;
}

export interface Upstream {
  readonly tagDecider: TagDecider;
  /** For what the fleet may cost: whether the upstream can serve in its place. */
  readonly check: {
    known(registry: string): boolean | undefined;
    answers(registry: string): Promise<boolean>;
  };
}

/** What this host finds out about upstream registries, put together. */
export function createUpstream(
  { containerd, instruments, log, proxy, endpointsOf }: UpstreamParts,
  { tagSource }: { readonly tagSource: 'upstream' | 'peers' },
): Upstream {
  const client = new UpstreamClient({ proxy });
  const registryProbe = new RegistryProbe({
    client,
    endpointsOf,
    log,
    proxy,
  });
  const attempts = new PullAttempts();
  containerd?.listen({
    onImage: (name) => attempts.markSucceeded(name),
    onGap: () => attempts.forgetAttempts(),
  });
  const rule = new UpstreamFirst({
    containerd,
    attempts,
    tagProbe: new TagProbe({ client, endpointsOf, log }),
    registryProbe,
    failures: new PullFailureLog({ log, instruments }),
    log,
  });
  return {
    tagDecider: tagSource === 'peers' ? FLEET_ALWAYS_ANSWERS : rule,
    check: {
      // A registry that refuses manifests answers a probe all the same.
      known: (registry) =>
        attempts.hasFailedFor(registry) ? false : registryProbe.known(registry),
      answers: (registry) => registryProbe.answers(registry),
    },
  };
}
