/**
 * The programs of the lab: six generations of containerd, a registry, tools to make images.
 *
 * Debian's packages are unpacked side by side into a cache directory, so nothing gets installed,
 * no service is started and the machine's apt configuration stays as it is. apt resolves against
 * the machine's dpkg state, so only what is missing here is fetched.
 */
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError, run } from '../processes/exec.ts';
import { withLock } from '../processes/lock.ts';
import { type CONTAINERD_SUITES, fetchAll, PROGRAMS } from './debian-programs.ts';
import {
  type BuiltVersion,
  buildMissing,
  builtPrograms,
  CONTAINERD_RELEASES,
  type Program,
  startBuilds,
} from './go-programs.ts';

/** What Debian has packages of; the cache's list names these alone. */
export type PackagedVersion = keyof typeof CONTAINERD_SUITES;
/** The others are built from sources, where that is possible: `containerdMissing` tells. */
export type ContainerdVersion = PackagedVersion | BuiltVersion;

/** Absolute paths, all callable without a special environment. */
export interface LabTools {
  /** Directories with `containerd` and `ctr` of that generation, and the exact version. */
  readonly containerd: Readonly<Record<ContainerdVersion, Program>>;
  readonly registry: string;
  readonly skopeo: string;
  readonly umoci: string;
  readonly runc: string;
  readonly nginx: string;
  readonly nft: string;
  readonly ip: string;
  readonly ss: string;
  readonly tc: string;
  readonly curl: string;
  readonly openssl: string;
}

/** Raise it when the layout of the cache changes. */
const FORMAT = 1;
/** Where the tests keep what they fetch, for all runs on this machine. */
export const LAB_DIR = process.env.SPEGEL_LAB_DIR ?? '/var/cache/spegel-lab';

function firstLine(error: unknown): string {
  const said = error instanceof CommandError ? error.stderr : String(error);
  return said.trim().split('\n')[0] ?? '';
}

/** Why the lab cannot run here, or undefined. Cheap checks first, no network. */
async function hindrance(): Promise<string | undefined> {
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'needs root (network namespaces, containerd)';
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const field = (name: string) =>
    new RegExp(`^${name}="?([^"\n]*)"?$`, 'm').exec(release)?.[1] ?? '';
  if (field('ID') !== 'debian')
    return `needs Debian 12 or 13 (packages of containerd), this is ${field('ID') || 'unknown'}`;
  try {
    await run(['unshare', '--net', '--mount', 'true']);
  } catch (error) {
    return `may not create network and mount namespaces: ${firstLine(error)}`;
  }
  return undefined;
}

/** The tools that come in packages, as the cache lists them. */
export type PackagedTools = Omit<LabTools, 'containerd'> & {
  readonly containerd: Readonly<Record<PackagedVersion, Program>>;
};

async function cached(dir: string): Promise<PackagedTools | undefined> {
  try {
    const saved = JSON.parse(await readFile(join(dir, 'tools.json'), 'utf8')) as {
      format: number;
      tools: PackagedTools;
    };
    if (saved.format !== FORMAT) return undefined;
    const { containerd, ...single } = saved.tools;
    // a cache of an older lab lacks the programs that came later
    if (Object.keys(PROGRAMS).some((program) => !(program in single))) return undefined;
    const paths = [
      ...Object.values(single),
      ...Object.values(containerd).map((one) => join(one.bin, 'containerd')),
    ];
    await Promise.all(paths.map((path) => access(path)));
    return saved.tools;
  } catch {
    return undefined; // never filled, half filled, or a tool of the machine went away: do it again
  }
}

/** All packaged programs, from the cache or fetched now. */
async function packaged(dir: string): Promise<PackagedTools> {
  const ready = await cached(dir);
  if (ready) return ready;
  return withLock(
    join(dir, 'lock'),
    async () => (await cached(dir)) ?? (await fetchAll(dir, FORMAT)),
  );
}

/** All programs, from the cache or fetched now; or the reason why tests have to be skipped. */
export async function provisionLab(
  dir: string = LAB_DIR,
): Promise<LabTools | { readonly missing: string }> {
  const missing = await hindrance();
  if (missing !== undefined) return { missing };
  try {
    const { containerd, ...tools } = await packaged(dir);
    await startBuilds(dir);
    return { ...tools, containerd: { ...containerd, ...builtPrograms(dir) } };
  } catch (error) {
    return { missing: `packages could not be fetched: ${firstLine(error)}` };
  }
}

/** Why this generation cannot be had here, or false; waits for one that is being built. */
export async function containerdMissing(
  version: ContainerdVersion,
  dir: string = LAB_DIR,
): Promise<string | false> {
  return version in CONTAINERD_RELEASES ? buildMissing(dir, version as BuiltVersion) : false;
}
