import { type BigIntStats, constants } from 'node:fs';
import { open } from 'node:fs/promises';

/**
 * The content of a regular file of at most `maxBytes`, as UTF-8. `check` sees its stats before its
 * bytes are read, and may throw. Rejects with an Error for a person for any other file, and waits
 * for no FIFO and no device.
 */
export async function readSmallFile(
  path: string,
  maxBytes: number,
  check: (stats: BigIntStats) => void = () => {},
): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = await file.stat({ bigint: true });
    check(stats);
    if (!stats.isFile()) throw new Error('not a regular file');
    // The size from stat is not trusted: the file may get longer meanwhile.
    const buffer = Buffer.allocUnsafeSlow(maxBytes + 1);
    let filled = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, filled, buffer.length - filled);
      if (bytesRead === 0) return buffer.toString('utf8', 0, filled);
      filled += bytesRead;
      if (filled > maxBytes) throw new Error(`more than ${maxBytes} bytes`);
    }
  } finally {
    await file.close();
  }
}
