/**
 * A Debian with systemd to boot in a container: debootstrap'ed once per machine into a tarball,
 * beside the other programs of the lab. systemd-nspawn and debootstrap are the machine's own or
 * unpacked as everything else.
 */
import { access, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError, run } from '../processes/exec.ts';
import { withLock } from '../processes/lock.ts';
import { machinesApt, machinesMirror, unpack } from '../programs/apt.ts';

export interface SystemdRoot {
  /** argv that starts systemd-nspawn. */
  readonly nspawn: readonly string[];
  /** The root file system. */
  readonly tarball: string;
}

/** Debian's name; 12 has systemd 252, the oldest that is supported, 13 has 257. */
const SUITE = process.env.SPEGEL_SYSTEMD_SUITE ?? 'bookworm';
const DIR = process.env.SPEGEL_LAB_DIR ?? '/var/cache/spegel-lab';
const BOOTSTRAP_TIMEOUT_MS = 10 * 60_000;
/** What a host has on which Spegel is installed; the libraries are those that Node wants. */
const PACKAGES = ['systemd-sysv', 'dbus', 'iproute2', 'libatomic1', 'libstdc++6'];
/** A third of it all, of no use in a test. */
const USELESS = [
  'usr/share/doc',
  'usr/share/locale',
  'usr/share/man',
  'var/cache/apt',
  'var/lib/apt',
];

const say = (line: string) => process.stderr.write(`lab: ${line}\n`);

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * The root and what boots it, from the cache or made now; or the reason why tests have to be
 * skipped.
 */
export async function provisionSystemd(): Promise<SystemdRoot | { readonly missing: string }> {
  try {
    return await withLock(join(DIR, 'systemd/lock'), async () => {
      const tools = await nspawnAndDebootstrap(join(DIR, 'systemd'));
      const tarball = join(DIR, `systemd/${SUITE}.tar`);
      if (!(await exists(tarball))) await bootstrap(tools.debootstrap, tarball);
      return { nspawn: tools.nspawn, tarball };
    });
  } catch (error) {
    const said = error instanceof CommandError ? error.stderr : String(error);
    return { missing: `no Debian with systemd: ${said.trim().split('\n').at(-1)}` };
  }
}

async function nspawnAndDebootstrap(dir: string) {
  const root = join(dir, 'tools');
  const system = ['/usr/bin/systemd-nspawn', '/usr/sbin/debootstrap'] as const;
  const has = await Promise.all(system.map(exists));
  if (has.every(Boolean)) return { nspawn: [system[0]], debootstrap: [system[1]] };
  if (!(await exists(join(root, 'complete')))) {
    say('fetching systemd-container and debootstrap');
    const apt = await machinesApt(dir);
    await apt.call('update');
    const words = ['install', '--download-only', '--no-install-recommends', '--yes'];
    await unpack(apt, root, ...words, '--reinstall', 'systemd-container', 'debootstrap');
    await rm(join(dir, 'apt-machine'), { recursive: true, force: true });
    await mkdir(join(root, 'complete'));
  }
  const { stdout } = await run(['dpkg-architecture', '-qDEB_HOST_MULTIARCH']).catch(() => ({
    stdout: `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`,
  }));
  const lib = join(root, 'usr/lib', stdout.trim());
  return {
    nspawn: ['env', `LD_LIBRARY_PATH=${lib}:${lib}/systemd`, join(root, system[0])],
    debootstrap: ['env', `DEBOOTSTRAP_DIR=${root}/usr/share/debootstrap`, join(root, system[1])],
  };
}

async function bootstrap(debootstrap: readonly string[], tarball: string): Promise<void> {
  say(`making a Debian ${SUITE} with systemd (once per machine, about a minute)`);
  const root = `${tarball}.root`;
  await rm(root, { recursive: true, force: true });
  const mirror = process.env.SPEGEL_LAB_MIRROR ?? (await machinesMirror());
  const words = ['--variant=minbase', `--include=${PACKAGES.join(',')}`, SUITE, root, mirror];
  await run([...debootstrap, ...words], { timeoutMs: BOOTSTRAP_TIMEOUT_MS });
  await Promise.all(USELESS.map((path) => rm(join(root, path), { recursive: true, force: true })));
  await run(['tar', '--create', '--file', `${tarball}.new`, '--directory', root, '.']);
  await rename(`${tarball}.new`, tarball);
  await rm(root, { recursive: true, force: true });
}
