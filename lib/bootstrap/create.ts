import { isIP } from 'node:net';
import type { Logger } from '../base/log.ts';
import type { Bootstrapper, OwnMultiaddrs, PeerMemory } from './bootstrapper.ts';
import { DnsBootstrapper } from './dns.ts';
import { HttpBootstrapper } from './http.ts';
import { MdnsBootstrapper } from './mdns.ts';
import { PeerCache } from './peer-cache.ts';
import { PeersFile } from './peers-file.ts';
import { systemResolver } from './resolve.ts';
import type { BootstrapKind, BootstrapSettings } from './settings.ts';
import { StaticBootstrapper } from './static.ts';

export interface BootstrapParts {
  readonly log: Logger;
  readonly own: OwnMultiaddrs;
}

export interface BootstrapContext {
  /** Directory of the peer cache; empty: there is no cache. */
  readonly dataDir: string;
  /** Port of our own router. A peer that is named without a port is assumed to use the same. */
  readonly routerPort: number;
}

export interface Bootstrappers {
  /** All lists, including `memory`. */
  readonly all: readonly Bootstrapper[];
  /** The peer cache, to be told which peers are alive; undefined without a data directory. */
  readonly memory: PeerMemory | undefined;
}

/** Creates the lists of first peers that the settings name, and the peer cache. */
export function createBootstrappers(
  parts: BootstrapParts,
  settings: BootstrapSettings & BootstrapContext,
): Bootstrappers {
  const { dataDir } = settings;
  const memory = dataDir === '' ? undefined : new PeerCache(parts, { dataDir });
  const named = [...new Set(settings.kinds)].flatMap((kind) => create(kind, parts, settings));
  return { all: memory === undefined ? named : [...named, memory], memory };
}

/** Returns no list if the settings lack what its kind needs. */
function create(
  kind: BootstrapKind,
  parts: BootstrapParts,
  settings: BootstrapSettings & BootstrapContext,
): Bootstrapper[] {
  const { log } = parts;
  const { staticPeersFile: path, dnsDomain, routerPort } = settings;
  switch (kind) {
    case 'static': {
      const file = path === undefined ? undefined : new PeersFile({ log }, path);
      const ips = settings.staticPeers.filter(({ host }) => isIP(host) !== 0);
      const names = settings.staticPeers.filter(({ host }) => isIP(host) === 0);
      // Two lists, so that addresses do not wait for a resolver or a disk that hangs.
      const known = ips.length === 0 ? [] : [new StaticBootstrapper({ log }, ips)];
      if (names.length === 0 && file === undefined) return known;
      return [...known, new StaticBootstrapper({ log, file }, names)];
    }
    case 'dns': {
      if (dnsDomain === undefined) return [];
      const port = dnsDomain.port ?? routerPort;
      const resolve = systemResolver();
      return [new DnsBootstrapper({ log, resolve }, { host: dnsDomain.host, port })];
    }
    case 'http': {
      const { httpAddress: address, httpUrls: urls } = settings;
      return [new HttpBootstrapper(parts, { address, urls, routerPort })];
    }
    case 'mdns':
      return [new MdnsBootstrapper(parts)];
  }
}
