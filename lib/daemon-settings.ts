import type { ListenAddress } from './base/address.ts';
import type { LogLevel } from './base/log.ts';
import type { BootstrapSettings } from './bootstrap/settings.ts';
import type { NamePattern } from './oci/filters.ts';
import type { MirrorClients } from './registry/clients.ts';

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

/**
 * Everything the daemon is told, checked already; a wrong value cannot be here. Durations are
 * milliseconds.
 */
export interface DaemonSettings {
  readonly version: string;
  readonly logLevel: LogLevel;
  readonly registryAddress: ListenAddress;
  /** The listening socket that systemd holds; undefined: the daemon binds the address itself. */
  readonly registryDescriptor: number | undefined;
  readonly routerAddress: ListenAddress;
  readonly metricsAddress: ListenAddress;
  readonly store: StoreSettings;
  /** Directory in which it says which port it holds. */
  readonly runtimeDir: string;
  /** Directory of the identity key; empty: nothing is written to disk. */
  readonly dataDir: string;
  /** Registry hosts (`docker.io`, `10.0.0.1:5000`) that are mirrored; empty: all. */
  readonly mirroredRegistries: readonly string[];
  /** References and repositories that match one are neither looked up, shared nor served. */
  readonly registryFilters: readonly NamePattern[];
  readonly resolveTimeoutMs: number;
  readonly resolveRetries: number;
  readonly bootstrap: BootstrapSettings;
  /** How long our records count at our peers. */
  readonly advertiseTtlMs: number;
  /** File of the keys that close the network; undefined: it is open to all. */
  readonly networkKeyFile: string | undefined;
  /** Clients on other hosts that are mirrored. */
  readonly mirrorClients: MirrorClients;
  /** IP addresses to announce instead of the default route's; empty: found out. */
  readonly advertiseAddresses: readonly string[];
  readonly tagSource: 'upstream' | 'peers';
  readonly parallelFetch: boolean;
  /** Layers are shared while they download. */
  readonly inflight: boolean;
  /** Longest wait for bytes of a layer that a peer is still downloading. */
  readonly inflightWaitMs: number;
  /** A peer slower than that many bytes per second is left. */
  readonly minSourceRate: number;
  /**
   * containerd's `config_path`, whose hosts.toml files say where else it asks; empty: only at the
   * registry itself.
   */
  readonly registryConfigPaths: readonly string[];
  /**
   * What this process' environment notes of containerd's proxy, by the names of the variables
   * (`notedProxy`).
   */
  readonly proxyEnvironment: Readonly<Record<string, string | undefined>>;
}
