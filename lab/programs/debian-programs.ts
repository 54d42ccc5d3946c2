/** Fills the cache of `provision.ts`: fetches the packages and makes their programs callable. */
import {
  access,
  chmod,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../processes/exec.ts';
import { type Apt, machinesApt, suitesApt, unpack } from './apt.ts';
import type { Program } from './go-programs.ts';
import type { PackagedTools, PackagedVersion } from './programs.ts';

/** Which Debian suite has which generation. Binaries of newer suites run on older ones (seen). */
export const CONTAINERD_SUITES = { '2.1': 'forky', '1.7': 'trixie', '1.6': 'bookworm' } as const;

/** Package and program; taken from the machine where it has them. */
export const PROGRAMS = {
  registry: ['docker-registry', 'docker-registry'],
  skopeo: ['skopeo', 'skopeo'],
  umoci: ['umoci', 'umoci'],
  runc: ['runc', 'runc'],
  nginx: ['nginx', 'nginx'],
  nft: ['nftables', 'nft'],
  ip: ['iproute2', 'ip'],
  ss: ['iproute2', 'ss'],
  tc: ['iproute2', 'tc'],
  curl: ['curl', 'curl'],
  openssl: ['openssl', 'openssl'],
} as const;

/** The machine's own tools; not our PATH, which may lead into a home directory. */
const SYSTEM_BIN = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

const say = (line: string) => process.stderr.write(`lab: ${line}\n`);

async function firstExisting(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  return undefined;
}

/** Where Debian puts shared libraries: /usr/lib/<machine>, older packages /lib/<machine>. */
async function libraryDirs(root: string): Promise<string[]> {
  const found: string[] = [];
  for (const lib of ['usr/lib', 'lib']) {
    const names = await readdir(join(root, lib)).catch(() => []);
    const machines = names.filter((name) => name.endsWith('-linux-gnu'));
    found.push(...machines.map((name) => join(root, lib, name)));
  }
  return found;
}

/**
 * A callable file in bin/: a link to the machine's program, or a wrapper that finds our libraries.
 */
async function expose(dir: string, root: string, program: string): Promise<string> {
  const path = join(dir, 'bin', program);
  await rm(path, { force: true });
  const unpacked = await firstExisting(SYSTEM_BIN.map((bin) => join(root, bin, program)));
  const system = await firstExisting(SYSTEM_BIN.map((bin) => join(bin, program)));
  if (unpacked) {
    const search = (await libraryDirs(root)).join(':');
    const { stdout } = await run(['env', `LD_LIBRARY_PATH=${search}`, 'ldd', unpacked]);
    const lacking = /(\S+) => not found/.exec(stdout)?.[1];
    if (lacking) throw new Error(`${program} needs ${lacking}, which came with no package`);
    await writeFile(path, `#!/bin/sh\nexport LD_LIBRARY_PATH=${search}\nexec ${unpacked} "$@"\n`);
    await chmod(path, 0o755);
  } else if (system) {
    await symlink(system, path);
  } else {
    throw new Error(`${program} is in no package that was fetched`);
  }
  return path;
}

/** One package of one suite, even if the machine has another version installed. */
async function fetchContainerd(dir: string, apt: Apt, version: PackagedVersion): Promise<Program> {
  const root = join(dir, `containerd-${version}`);
  const suite = CONTAINERD_SUITES[version];
  say(`fetching containerd ${version} from ${suite}`);
  await unpack(apt, root, 'download', `containerd/${suite}`);
  const bin = join(root, 'usr/bin');
  // "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3"
  const exact =
    (await run([join(bin, 'containerd'), '--version'])).stdout.trim().split(' ')[2] ?? '';
  if (!exact.startsWith(version))
    throw new Error(`${suite} has containerd ${exact}, wanted ${version}`);
  return { bin, exact };
}

/** Fills the cache directory. The caller holds its lock. */
export async function fetchAll(dir: string, format: number): Promise<PackagedTools> {
  say(`preparing ${dir} (once per machine, about a minute)`);
  await mkdir(join(dir, 'bin'), { recursive: true });
  const release = await readFile('/etc/os-release', 'utf8');
  const codename = /^VERSION_CODENAME=(\w+)/m.exec(release)?.[1] ?? '';
  if (!(Object.values(CONTAINERD_SUITES) as string[]).includes(codename)) {
    throw new Error(`no package sources known for Debian "${codename}"`);
  }
  const machine = await machinesApt(dir);
  const suites = await suitesApt(dir, Object.values(CONTAINERD_SUITES));
  say('reading package lists');
  await machine.call('update');
  await suites.call('update');

  const root = join(dir, 'tools');
  const packages = new Set(Object.values(PROGRAMS).map(([name]) => name));
  say(`fetching ${[...packages].join(', ')}`);
  const words = ['install', '--download-only', '--no-install-recommends', '--yes'];
  await unpack(machine, root, ...words, ...packages);
  const paths: Partial<Record<keyof typeof PROGRAMS, string>> = {};
  for (const [key, [, program]] of Object.entries(PROGRAMS)) {
    paths[key as keyof typeof PROGRAMS] = await expose(dir, root, program);
  }
  const containerd = {
    '2.1': await fetchContainerd(dir, suites, '2.1'),
    '1.7': await fetchContainerd(dir, suites, '1.7'),
    '1.6': await fetchContainerd(dir, suites, '1.6'),
  };
  for (const apt of ['apt-machine', 'apt-suites']) {
    await rm(join(dir, apt), { recursive: true, force: true });
  }

  const tools = { ...(paths as Required<typeof paths>), containerd };
  await writeFile(join(dir, 'tools.json.new'), JSON.stringify({ format, tools }, null, 2));
  await rename(join(dir, 'tools.json.new'), join(dir, 'tools.json'));
  say(
    `ready: containerd ${Object.values(containerd)
      .map((one) => one.exact)
      .join(', ')}`,
  );
  return tools;
}
