import type { Instruments } from '../base/instruments.ts';
import type { Logger } from '../base/log.ts';
import type { RegistryEndpoint } from '../hosts/registry-endpoints.ts';
import type { ContainerdProxySource } from '../proxy/containerd-proxy.ts';
import { UpstreamClient } from './client.ts';
import { FailureLog } from './failure-log.ts';
import { Reachability } from './reachability.ts';
import { TagCheck } from './tag-check.ts';
import { type Containerd, FLEET_DECIDES, type TagRule, UpstreamDecides } from './tag-rule.ts';
import { TagTries } from './tag-tries.ts';

export interface UpstreamParts {
  readonly log: Logger;
  readonly instruments: Instruments;
  /** Where containerd asks for a registry, besides this daemon. Never rejects. */
  readonly endpointsOf: (registry: string) => Promise<readonly RegistryEndpoint[]>;
  /** Undefined: the content store is none of containerd's, so nothing is known of its pulls. */
  readonly containerd: (Containerd & Watched) | undefined;
  readonly proxy: ContainerdProxySource;
}

/** What is heard of containerd's pulls. */
interface Watched {
  listen(listeners: { readonly onImage: (name: string) => void; readonly onGap: () => void }): void;
}

export interface Upstream {
  readonly tagRule: TagRule;
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
  const reachability = new Reachability({
    client,
    endpointsOf,
    log,
    proxy,
  });
  const tries = new TagTries();
  containerd?.listen({
    onImage: (name) => tries.succeeded(name),
    onGap: () => tries.forgetTries(),
  });
  const rule = new UpstreamDecides({
    containerd,
    tries,
    check: new TagCheck({ client, endpointsOf, log }),
    reachability,
    failures: new FailureLog({ log, instruments }),
    log,
  });
  return {
    tagRule: tagSource === 'peers' ? FLEET_DECIDES : rule,
    check: {
      // A registry that refuses manifests answers a probe all the same.
      known: (registry) => (tries.hasFailed(registry) ? false : reachability.known(registry)),
      answers: (registry) => reachability.answers(registry),
    },
  };
}
