/**
 * A host in a container on the lab's network: a real systemd, with our units and executable and a
 * real containerd.
 */
import { existsSync } from 'node:fs';
import { cp, mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { hostsToml } from '../containerd/hosts-toml.ts';
import { EXECUTABLE } from '../executable.ts';
import type { Lab } from '../fleet/lab.ts';
import type { NetHost } from '../network/nethost.ts';
import { type Output, type RunOptions, run, waitUntil } from '../processes/exec.ts';
import { Service } from '../processes/service.ts';
import { provisionSystemd, type SystemdRoot } from './systemd-root.ts';

const REPOSITORY = resolve(import.meta.dirname, '../..');
/** Where the units look. */
const HOSTS_DIR = 'etc/containerd/certs.d';
const BOOT_TIMEOUT_MS = 120_000;
/** Each look starts programs, and a boot on one core takes longer beside many of them. */
const BOOT_LOOK_MS = 200;

/**
 * Each host in a cgroup of its own, named $1, below that of the test. In one cgroup for all, a unit
 * that stops on one host removes the cgroup in which the same unit starts on another (219/CGROUP).
 * What a host of that name left is removed.
 */
const OWN_CGROUP = `
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
mount=$(findmnt --noheadings --first-only --output TARGET --types cgroup2)
parent=$mount$own
cgroup=\${parent%/}/$1
shift
if [ "$mount" ]; then
  find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
  mkdir -p "$cgroup" && echo $$ >"$cgroup/cgroup.procs"
fi
exec "$@"`;

export interface UnitState {
  readonly active: string;
  readonly sub: string;
  readonly pid: number;
  readonly restarts: number;
  readonly status: string;
}

/** For node:test's `skip`: why no systemd can be booted here, else false. */
export async function systemdMissing(): Promise<string | false> {
  const found = await provisionSystemd();
  return 'missing' in found ? found.missing : false;
}

export class SystemdHost {
  readonly net: NetHost;
  readonly root: string;
  readonly #service: Service;

  private constructor(net: NetHost, root: string, { nspawn }: SystemdRoot) {
    this.net = net;
    this.root = root;
    const words = ['--quiet', '--register=no', '--keep-unit', '--boot', '--console=pipe'];
    const network = `--network-namespace-path=/run/netns/${net.ns}`;
    // A killed nspawn leaves behind what it has booted; as first process of a pid namespace it
    // takes all with it.
    const alone = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const apart = ['sh', '-c', OWN_CGROUP, 'sh', basename(net.ns)];
    const argv = [...apart, ...alone, ...nspawn, `--directory=${root}`, ...words, network];
    // The machine's own cgroup tree may be the old kind, which newer versions of systemd refuse.
    this.#service = new Service(argv, `${root}.log`, { SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' });
  }

  /**
   * Unpacks it, puts containerd, executable and units in place, and does not boot it yet. Bare: the
   * executable lies in /opt.
   */
  static async create(
    lab: Lab,
    name: string,
    { isBare = false }: { readonly isBare?: boolean } = {},
  ): Promise<SystemdHost> {
    const found = await provisionSystemd();
    if ('missing' in found) throw new Error(found.missing);
    const root = join(lab.network.slot.dir, name);
    await mkdir(root);
    await run(['tar', '--extract', '--file', found.tarball, '--directory', root]);
    const host = new SystemdHost(await lab.network.addHost(name), root, found);
    lab.keep(name, host.#service);
    const containerd = resolve(lab.tools.containerd['2.1'].bin, '../..');
    await cp(join(containerd, 'usr/bin'), join(root, 'usr/bin'), { recursive: true });
    await cp(await containerdUnit(containerd), host.path('etc/systemd/system/containerd.service'));
    await cp(EXECUTABLE, host.path(isBare ? 'opt/spegel' : 'usr/local/bin/spegel'));
    if (isBare) return host;
    for (const unit of await readdir(join(REPOSITORY, 'systemd'))) {
      if (unit === 'spegel.env') continue;
      await cp(join(REPOSITORY, 'systemd', unit), host.path('etc/systemd/system', unit));
    }
    await mkdir(host.path('etc/spegel'));
    await cp(join(REPOSITORY, 'systemd/spegel.env'), host.path('etc/spegel/spegel.env'));
    return host;
  }

  /** Where a file of that host is for the test. */
  path(...parts: readonly string[]): string {
    return join(this.root, ...parts);
  }

  /** Boots it, and waits until everything that is enabled has been started. */
  async boot(): Promise<void> {
    this.#service.start();
    await this.#service.ready(
      async () => {
        const state = await this.systemctl('is-system-running').catch((error) => error.stdout);
        return /^(?:running|degraded)$/m.test(String(state));
      },
      BOOT_TIMEOUT_MS,
      BOOT_LOOK_MS,
    );
  }

  /** Shuts it down in order, as `poweroff` does. */
  async powerOff(): Promise<void> {
    await this.systemctl('poweroff');
    await this.#service.exited;
  }

  /** What a cut of the power does: every process is gone, none has heard of it. */
  async cutPower(): Promise<void> {
    const first = await childOf(this.#service.pid);
    this.#service.kill('SIGKILL');
    await this.#service.exited;
    // The first process of a pid namespace is gone when all the others are: the next boot uses the
    // same cgroups.
    await waitUntil('all have ended', () => !existsSync(`/proc/${first}`));
  }

  /** What `systemctl edit` would add to a unit; before the boot. */
  async override(unit: string, text: string): Promise<void> {
    const dir = this.path('etc/systemd/system', `${unit}.d`);
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, 'override.conf'), text);
  }

  async #leader(): Promise<number> {
    const leader = await childOf(await childOf(this.#service.pid));
    if (leader === undefined) throw new Error('this host is not booted');
    return leader;
  }

  /** Where what it sees at a path is for the test, also on its file systems in memory. */
  async outside(path: string): Promise<string> {
    return join(`/proc/${await this.#leader()}/root`, path);
  }

  /** Runs a program inside of it. */
  async run(argv: readonly string[], options?: RunOptions): Promise<Output> {
    const leader = await this.#leader();
    const enter = ['nsenter', `--target=${leader}`, '--root', '--wdns=/'];
    const spaces = ['--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup'];
    return run([...enter, ...spaces, ...argv], options);
  }

  async systemctl(...args: string[]): Promise<string> {
    return (await this.run(['systemctl', '--no-pager', ...args])).stdout;
  }

  async state(unit = 'spegel.service'): Promise<UnitState> {
    const shown = await this.systemctl('show', unit);
    const field = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(shown)?.[1] ?? '';
    return {
      active: field('ActiveState'),
      sub: field('SubState'),
      pid: Number(field('MainPID')),
      restarts: Number(field('NRestarts')),
      status: field('StatusText'),
    };
  }

  async untilActive(unit = 'spegel.service', timeoutMs = 60_000): Promise<void> {
    const isActive = async () => (await this.state(unit)).active === 'active';
    await waitUntil(`${unit} is active`, isActive, { timeoutMs, everyMs: 100 });
  }

  /** Whether the registry on that host answers a GET of its own with 200. */
  async answers(path: string): Promise<boolean> {
    const flags = ['--output', '/dev/null', '--write-out', '%{http_code}', '--max-time', '2'];
    const status = await this.net.curl(...flags, `http://127.0.0.1:5000${path}`).catch(() => '');
    return status === '200';
  }

  /** The administrator's own settings for a registry that speaks plain http. */
  async addRegistry(registry: string): Promise<void> {
    await mkdir(this.path(HOSTS_DIR, registry), { recursive: true });
    const text = hostsToml({ registry, mirrors: [] });
    await writeFile(this.path(HOSTS_DIR, registry, 'hosts.toml'), text);
  }

  /**
   * containerd's settings as they are now: every hosts.toml with its text; its inode tells a file
   * that was replaced.
   */
  async settings(): Promise<Record<string, { readonly text: string; readonly inode: number }>> {
    const found: Record<string, { text: string; inode: number }> = {};
    for (const registry of (await readdir(this.path(HOSTS_DIR))).sort()) {
      // One descriptor: the file may be taken away between two looks at its path.
      const file = await open(this.path(HOSTS_DIR, registry, 'hosts.toml')).catch(() => undefined);
      if (file === undefined) continue;
      found[registry] = { text: await file.readFile('utf8'), inode: (await file.stat()).ino };
      await file.close();
    }
    return found;
  }

  /** What these units logged since the last boot. */
  async journal(...units: readonly string[]): Promise<string> {
    const flags = units.map((unit) => `--unit=${unit}`);
    return (await this.run(['journalctl', '--no-pager', '--output=cat', ...flags])).stdout;
  }

  /** How many lines of these units, by default of the service, have this text. */
  async linesWith(text: string, ...units: readonly string[]): Promise<number> {
    const log = await this.journal(...(units.length === 0 ? ['spegel'] : units));
    return log.split('\n').filter((line) => line.includes(text)).length;
  }

  /** A metric of the service with these labels; NaN: it has none. */
  async metric(name: string, labels: string): Promise<number> {
    const text = await this.net.curl('http://127.0.0.1:9090/metrics');
    return Number(new RegExp(`^${name}\\{${labels}\\} (.*)$`, 'm').exec(text)?.[1]);
  }

  /**
   * `ctr images pull` with what certs.d says now. Overlayfs may not work in a container, and
   * without `--local` it is a must.
   */
  async pull(reference: string): Promise<void> {
    const words = ['ctr', 'images', 'pull', '--local', '--hosts-dir', `/${HOSTS_DIR}`];
    await this.run([...words, '--snapshotter', 'native', reference]);
  }
}

async function childOf(pid: number | undefined): Promise<number | undefined> {
  const path = `/proc/${pid}/task/${pid}/children`;
  const [first] = (await readFile(path, 'utf8').catch(() => '')).split(' ');
  return first ? Number(first) : undefined;
}

/** Debian's unit of containerd; older packages have it in /lib. */
async function containerdUnit(unpacked: string): Promise<string> {
  const unit = 'lib/systemd/system/containerd.service';
  const path = join(unpacked, 'usr', unit);
  return (await stat(path).catch(() => undefined)) === undefined ? join(unpacked, unit) : path;
}
