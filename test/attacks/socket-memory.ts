/**
 * What the kernel holds for the connections of a memory cgroup: an older kind counts that apart.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UNIT_BYTES } from './memory-cgroup.ts';

const ROOT = '/sys/fs/cgroup/memory';

export class SocketMemory {
  readonly #peakPath: string | undefined;

  private constructor(peakPath: string | undefined) {
    this.#peakPath = peakPath;
  }

  /** `name`: that of the MemoryCgroup; before its processes open sockets. */
  static async of(name: string): Promise<SocketMemory> {
    try {
      // Without a limit nothing is counted.
      const limit = join(ROOT, name, 'memory.kmem.tcp.limit_in_bytes');
      await writeFile(limit, String(8 * UNIT_BYTES));
      return new SocketMemory(join(ROOT, name, 'memory.kmem.tcp.max_usage_in_bytes'));
    } catch {
      return new SocketMemory(undefined);
    }
  }

  /** The peak counts anew from here on. */
  async reset(): Promise<void> {
    if (this.#peakPath !== undefined) await writeFile(this.#peakPath, '0');
  }

  /** In bytes; 0 where the cgroup's own peak has it. */
  async peak(): Promise<number> {
    return this.#peakPath === undefined ? 0 : Number(await readFile(this.#peakPath, 'utf8'));
  }
}
