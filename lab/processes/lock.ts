/**
 * A lock between test processes (node:test runs each file in its own, several at once).
 * Node has no flock(2), so util-linux's holds it for us until its standard input closes, which
 * the kernel does for us when we die.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const holder = spawn('flock', ['--exclusive', path, 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const gone = once(holder, 'exit');
  try {
    const held = once(holder.stdout, 'data').then(() => true);
    if (!(await Promise.race([held, gone.then(() => false)])))
      throw new Error(`cannot lock ${path}`);
    return await work();
  } finally {
    holder.stdin.end();
    await gone.catch(() => {}); // 'error' when there is no flock: reported above
  }
}
