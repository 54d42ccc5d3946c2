/**
 * Whether a version such as `1.6.20~ds1`, `v2.1.0-rc.1` or `2` is 2.0 or later; undefined for one
 * that is not known, or cannot be read.
 */
export function isContainerd2(version: string | undefined): boolean | undefined {
  const major = /^v?(\d+)/.exec(version ?? '')?.[1];
  return major === undefined ? undefined : Number(major) >= 2;
}
