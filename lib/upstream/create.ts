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
  /** The hosts that containerd asks for a registry, without this daemon. Never rejects. */
  readonly endpointsOf: (registry: string) => Promise<readonly RegistryEndpoint[]>;
  /**
   * Undefined if the content store is not that of a containerd: then nothing is known about its
   * pulls.
   */
  readonly containerd: (PullMonitor & ImageEvents) | undefined;
  readonly proxy: ContainerdProxySource;
}

/** Reports image events of containerd. */
interface ImageEvents {
  listen(listeners: { readonly onImage: (name: string) => void; readonly onGap: () => void }): void;
}

export interface Upstream {
  readonly tagDecider: TagDecider;
  /** Tells whether the upstream can serve content, which decides how long to wait for the fleet. */
  readonly check: {
    known(registry: string): boolean | undefined;
    answers(registry: string): Promise<boolean>;
  };
}

/**
 * Connects the parts that watch upstream registries. `tagDecider` decides whether the fleet answers
 * a tag, from what `PullAttempts` saw and what `TagProbe` and `RegistryProbe` find out.
 */
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
  const upstreamFirst = new UpstreamFirst({
    containerd,
    attempts,
    tagProbe: new TagProbe({ client, endpointsOf, log }),
    registryProbe,
    failures: new PullFailureLog({ log, instruments }),
    log,
  });
  return {
    tagDecider: tagSource === 'peers' ? FLEET_ALWAYS_ANSWERS : upstreamFirst,
    check: {
      // A registry that rejects requests for manifests still answers a probe.
      known: (registry) =>
        attempts.hasFailedFor(registry) ? false : registryProbe.known(registry),
      answers: (registry) => registryProbe.answers(registry),
    },
  };
}
