/** Disks that end the "process" which uses them, or one call of it. */
import { DISK, type Disk } from '../../../lib/hosts/transaction/disk.ts';

/** The process is gone: whoever catches this and asks the disk again gets it again. */
export class Killed extends Error {
  override readonly name = 'Killed';
}

type Call = (...args: unknown[]) => unknown;

/** A disk on which each call goes through `around`. */
export function interceptedDisk(
  around: (name: string, call: Call, args: unknown[]) => unknown,
): Disk {
  return new Proxy(DISK, {
    get(target, name) {
      const call = Reflect.get(target, name) as Call;
      return (...args: unknown[]) => around(String(name), call, args);
    },
  });
}

/** Counts the calls of a run. */
export function countingDisk(): { readonly disk: Disk; readonly names: readonly string[] } {
  const names: string[] = [];
  const disk = interceptedDisk((name, call, args) => {
    names.push(name);
    return call(...args);
  });
  return { disk, names };
}

/**
 * A disk whose user dies at call number `at`, the first being 0: before anything is done, or
 * `half`-way through a write. What he had open is closed then, as the kernel does.
 */
export function mortalDisk(at: number, isHalf: boolean): Disk {
  const open = new Set<unknown>();
  let count = 0;
  let isDead = false;
  const die = () => {
    isDead = true;
    for (const descriptor of open) DISK.closeSync(descriptor as number);
    open.clear();
    throw new Killed();
  };
  return interceptedDisk((name, call, args) => {
    if (isDead) throw new Killed();
    if (count === at) {
      if (isHalf && name === 'writeSync') writeHalf(args as [number, Buffer, number]);
      die();
    }
    count += 1;
    if (name === 'fsyncSync') return undefined;
    const result = call(...args);
    if (name === 'openSync') open.add(result);
    if (name === 'closeSync') open.delete(args[0]);
    return result;
  });
}

function writeHalf([descriptor, bytes, from]: [number, Buffer, number]): void {
  DISK.writeSync(descriptor, bytes, from, Math.floor((bytes.length - from) / 2));
}

/** A disk whose call number `at` fails, once, as a broken one does. */
export function failingDisk(at: number, code: string): Disk {
  let count = 0;
  return interceptedDisk((name, call, args) => {
    count += 1;
    if (count === at + 1) throw Object.assign(new Error(`${code}: ${name}`), { code });
    return name === 'fsyncSync' ? undefined : call(...args);
  });
}
