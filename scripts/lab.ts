import { performance } from 'node:perf_hooks';
import { faketimeMissing } from '../lab/programs/faketime.ts';
import { formerMissing } from '../lab/programs/former-release.ts';
import { CONTAINERD_RELEASES } from '../lab/programs/go-programs.ts';
import { containerdMissing, LAB_DIR, provisionLab } from '../lab/programs/programs.ts';
import { arm64Emulator } from '../lab/programs/qemu-arm64.ts';
import { provisionSystemd } from '../lab/systemd/systemd-root.ts';

/**
 * Fetches and builds what the tests on real containerd and systemd need, once per machine: a build
 * beside the tests makes them miss their deadlines. What cannot be had here is named, and is no
 * error: the tests that need it are skipped.
 */
type Missing = string | false | { readonly missing: string } | object;

const builds = Object.keys(CONTAINERD_RELEASES) as (keyof typeof CONTAINERD_RELEASES)[];
const parts: readonly (readonly [string, () => Promise<Missing>])[] = [
  // It also begins the builds of containerd, which go on beside the rest.
  ['packages', () => provisionLab()],
  ['systemd', () => provisionSystemd()],
  ['the release before this one', () => formerMissing()],
  ['faketime', () => faketimeMissing()],
  ['an emulator of arm64', () => arm64Emulator()],
  ...builds.map((version) => [`containerd ${version}`, () => containerdMissing(version)] as const),
];

const started = performance.now();
for (const [name, provide] of parts) {
  const result = await provide();
  const why = typeof result === 'object' && 'missing' in result ? result.missing : result;
  const seconds = ((performance.now() - started) / 1000).toFixed();
  const outcome = typeof why === 'string' ? `not here: ${why}` : 'is here';
  process.stdout.write(`lab: ${name}: ${outcome} (${seconds} s)\n`);
  if (name === 'packages' && typeof why === 'string') break;
}
process.stdout.write(`lab: in ${LAB_DIR}\n`);
