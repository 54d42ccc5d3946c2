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

/**
 * Whether a version such as `1.6.20~ds1`, `v2.1.0-rc.1` or `2` is 2.0 or later; undefined for one
 * that is not known, or cannot be read.
 */
export function isContainerd2(version: string | undefined): boolean | undefined {
  const major = /^v?(\d+)/.exec(version ?? '')?.[1];
  return major === undefined ? undefined : Number(major) >= 2;
}
