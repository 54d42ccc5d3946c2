import type { MirrorBlockSettings } from './toml/block.ts';

/** A registry that was named, and its URL where that was given with a scheme. */
export interface MirroredRegistry {
  readonly host: string;
  readonly url: string | undefined;
}

export interface ConfigurationSettings extends MirrorBlockSettings {
  /** Every registry is mirrored, also those that are not named. */
  readonly isForAll: boolean;
  readonly registries: readonly MirroredRegistry[];
  /** Hosts of registries that are not mirrored. */
  readonly excluded: readonly string[];
  /** The excluded registries that were named by a URL with http. */
  readonly excludedHttp?: readonly string[];
  /** True: existing hosts stay, behind ours. False: existing files are set aside. */
  readonly prependExisting: boolean;
  /** True: no containerd before 2.0 reads the files. Undefined: one may. */
  readonly isContainerd2?: boolean | undefined;
}
