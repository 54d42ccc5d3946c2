/** config.toml for one containerd of the lab: text only, version 3 for 2.x, version 2 for 1.x. */
import type { ContainerdVersion } from '../programs/programs.ts';

export interface ContainerdOptions {
  readonly version: ContainerdVersion;
  /** The CRI plugin, with config_path set. It starts without a CNI configuration (it only logs). */
  readonly cri?: boolean;
  /**
   * Parallel range fetching (2.1 only): bytes per chunk, at least 512. Off without it. It acts on
   * `ctr images pull` and CRI, both go through the transfer service.
   */
  readonly layerFetchBuffer?: number;
  readonly maxConcurrentDownloads?: number;
  /** CRI's config_path. Default: the certs.d of this host. */
  readonly configPath?: string;
  /** From 2.1 on: CRI pulls by itself, as before, and not through the transfer service. */
  readonly localImagePull?: boolean;
  /** Deletes layers after unpacking: the setting that leaves nothing to share. Default false. */
  readonly discardUnpackedLayers?: boolean;
  /**
   * Needs `cri`. It can run containers: it sees the machine's cgroups, and finds the lab's runc.
   */
  readonly runsContainers?: boolean;
  /** The image of each pod's sandbox ("pause"). */
  readonly sandboxImage?: string;
  /** 'native' copies and needs no overlayfs. */
  readonly snapshotter?: 'overlayfs' | 'native';
}

export interface ContainerdPaths {
  readonly root: string;
  readonly state: string;
  readonly socket: string;
  /** certs.d of this host. */
  readonly hostsDir: string;
  /** For files that containerd by default keeps in a place that all hosts would share. */
  readonly scratch: string;
}

type Value = string | number | boolean | readonly string[];
type Table = Readonly<Record<string, Value | undefined>>;

function toml(tables: Readonly<Record<string, Table>>): string {
  const lines: string[] = [];
  for (const [header, table] of Object.entries(tables)) {
    const entries = Object.entries(table).filter(([, value]) => value !== undefined);
    if (entries.length === 0) continue;
    lines.push(
      '',
      header && `[${header}]`,
      ...entries.map(([key, value]) => `${key} = ${JSON.stringify(value)}`),
    );
  }
  return `${lines.join('\n').trim()}\n`;
}

const plugin = (name: string, ...sub: string[]) => [`plugins."${name}"`, ...sub].join('.');

export const isVersion2 = (version: ContainerdVersion) => version.startsWith('2.');

export function containerdConfig(options: ContainerdOptions, paths: ContainerdPaths): string {
  if (options.layerFetchBuffer !== undefined && !isVersion2(options.version)) {
    throw new Error(`containerd ${options.version} has no parallel range fetching`);
  }
  const snapshotter = options.snapshotter ?? 'overlayfs';
  const images = {
    snapshotter,
    discard_unpacked_layers: options.discardUnpackedLayers ?? false,
  };
  // Without a config_path of its own: CRI's is enough for CRI, and ctr names the directory itself.
  const transfer = {
    max_concurrent_downloads: options.maxConcurrentDownloads,
    concurrent_layer_fetch_buffer: options.layerFetchBuffer,
  };
  // A root without CAP_SYS_RESOURCE, as in many a sandbox, may not make a process safer than
  // containerd.
  const oom = { restrict_oom_score_adj: options.runsContainers };
  const cni = { conf_dir: `${paths.scratch}/cni` };
  const common = {
    grpc: { address: paths.socket },
    ttrpc: { address: `${paths.socket}.ttrpc` },
    // Defaults in /opt and /var/run, the same for every containerd of the machine:
    [plugin('io.containerd.internal.v1.opt')]: { path: `${paths.scratch}/opt` },
    [plugin('io.containerd.nri.v1.nri')]: options.version === '1.6' ? {} : { disable: true },
  };
  const top = { root: paths.root, state: paths.state, oom_score: 0 };
  const registry = { config_path: options.configPath ?? paths.hostsDir };
  const disabled = (names: string[]) =>
    `disabled_plugins = ${JSON.stringify(options.cri ? [] : names)}\n`;

  if (isVersion2(options.version)) {
    const off = disabled([
      'io.containerd.grpc.v1.cri',
      'io.containerd.cri.v1.images',
      'io.containerd.cri.v1.runtime',
      'io.containerd.podsandbox.controller.v1.podsandbox', // needs the runtime, warns without it
    ]);
    return (
      off +
      toml({
        '': { version: 3, ...top },
        ...common,
        [plugin('io.containerd.cri.v1.images')]: {
          ...images,
          use_local_image_pull: options.localImagePull,
        },
        [plugin('io.containerd.cri.v1.images', 'registry')]: registry,
        [plugin('io.containerd.cri.v1.images', 'pinned_images')]: { sandbox: options.sandboxImage },
        [plugin('io.containerd.cri.v1.runtime')]: oom,
        [plugin('io.containerd.cri.v1.runtime', 'cni')]: cni,
        [plugin('io.containerd.transfer.v1.local')]: transfer,
      })
    );
  }
  return (
    disabled(['io.containerd.grpc.v1.cri']) +
    toml({
      '': { version: 2, ...top },
      ...common,
      [plugin('io.containerd.grpc.v1.cri', 'containerd')]: images,
      [plugin('io.containerd.grpc.v1.cri', 'registry')]: registry,
      [plugin('io.containerd.grpc.v1.cri', 'cni')]: cni,
      [plugin('io.containerd.grpc.v1.cri')]: {
        max_concurrent_downloads: options.maxConcurrentDownloads,
        sandbox_image: options.sandboxImage,
        ...oom,
      },
    })
  );
}
