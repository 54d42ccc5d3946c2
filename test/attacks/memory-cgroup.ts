/** A memory cgroup for the daemon of one host, bounded as its unit bounds it. */
import { access, mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** MemoryMax of systemd/spegel.service. */
export const UNIT_BYTES = 512 * 1024 * 1024;

/** Where the hierarchy is mounted, and what its files are called. */
const KINDS = [
  {
    root: '/sys/fs/cgroup/memory',
    probe: 'memory.max_usage_in_bytes',
    limit: 'memory.limit_in_bytes',
    peak: 'memory.max_usage_in_bytes',
    drop: 'memory.force_empty',
  },
  {
    root: '/sys/fs/cgroup',
    probe: 'cgroup.subtree_control',
    limit: 'memory.max',
    peak: 'memory.peak',
    drop: 'memory.reclaim',
  },
] as const;

export class MemoryCgroup {
  readonly #dir: string;
  readonly #kind: (typeof KINDS)[number];

  private constructor(dir: string, kind: (typeof KINDS)[number]) {
    this.#dir = dir;
    this.#kind = kind;
  }

  /** Undefined where this machine has no memory controller for us. */
  static async make(name: string): Promise<MemoryCgroup | undefined> {
    for (const kind of KINDS) {
      try {
        await access(join(kind.root, kind.probe));
        if (kind.root === '/sys/fs/cgroup') await writeFile(join(kind.root, kind.probe), '+memory');
        const dir = join(kind.root, name);
        await mkdir(dir, { recursive: true });
        await writeFile(join(dir, kind.limit), String(UNIT_BYTES));
        await readFile(join(dir, kind.peak));
        return new MemoryCgroup(dir, kind);
      } catch {} // another kind, or none
    }
    return undefined;
  }

  /** To be called as soon as the process is there: what it has allocated before is not counted. */
  async take(pid: number | undefined): Promise<void> {
    await writeFile(join(this.#dir, 'cgroup.procs'), String(pid));
  }

  /**
   * What to run a program by, on a host of the lab: in the cgroup from its first moment, and where
   * it sees its bound, as in a unit. Moved there later, V8 takes all of the machine's memory for
   * its.
   */
  get runner(): string[] {
    const enter = ['nsenter', `--mount=/proc/${process.pid}/ns/mnt`, '--'];
    return [...enter, 'sh', '-c', `echo $$ > ${this.#dir}/cgroup.procs; exec "$0" "$@"`];
  }

  /** The most that it ever had, page cache included, in bytes. */
  async peak(): Promise<number> {
    return Number(await readFile(join(this.#dir, this.#kind.peak), 'utf8'));
  }

  /**
   * The peak counts anew from here on, where this kernel knows how; page cache is let go before.
   */
  async reset(): Promise<void> {
    const { peak, drop } = this.#kind;
    await writeFile(join(this.#dir, drop), drop === 'memory.reclaim' ? '64M' : '0').catch(() => {});
    await writeFile(join(this.#dir, peak), '0').catch(() => {});
  }

  /** Once its processes are gone. */
  async remove(): Promise<void> {
    await rmdir(this.#dir).catch(() => {});
  }
}
