import type { LogLevel } from './base/log.ts';

/** An address to listen on, as Go writes it: `:5000` (all interfaces, both families), `127.0.0.1:5000`, `[::1]:5000`. */
export interface ListenAddress {
  /** Empty for all interfaces. */
  readonly host: string;
  readonly port: number;
}

/** One way to a peer: a multiaddr as given, or one made of `host:port`. */
export type BootstrapPeer = string;

export type StoreSettings =
  | {
      readonly kind: 'containerd';
      /** Path of containerd's gRPC socket. */
      readonly socket: string;
      /** Namespaces to share; `['*']` for all of them, also ones that appear later. */
      readonly namespaces: readonly string[];
      /** Root of the content store, or undefined: asked from containerd, else its default. */
      readonly contentPath: string | undefined;
    }
  | { readonly kind: 'oci-layout'; readonly path: string };

/** Everything the daemon is told, checked already; a wrong value cannot be here. Durations are milliseconds. */
export interface DaemonSettings {
  readonly version: string;
  readonly logLevel: LogLevel;
  readonly registryAddress: ListenAddress;
  readonly routerAddress: ListenAddress;
  readonly metricsAddress: ListenAddress;
  readonly store: StoreSettings;
  /** Directory of the identity key; empty: nothing is written to disk. */
  readonly dataDir: string;
  /** Registry hosts (`docker.io`, `10.0.0.1:5000`) that are mirrored; empty: all. */
  readonly mirroredRegistries: readonly string[];
  /** References and repositories that match one are neither looked up, shared nor served. */
  readonly registryFilters: readonly RegExp[];
  readonly resolveTimeoutMs: number;
  readonly resolveRetries: number;
  readonly staticBootstrapPeers: readonly BootstrapPeer[];
  /** IP addresses to announce instead of the default route's; empty: found out. */
  readonly advertiseAddresses: readonly string[];
  readonly tagSource: 'upstream' | 'peers';
  readonly parallelFetch: boolean;
  /** The environment's proxy variables, for the probe whether an upstream registry answers. */
  readonly proxyEnvironment: Readonly<Record<string, string | undefined>>;
}
