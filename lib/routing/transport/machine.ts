import { createHmac } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { readSmallFile } from '../../base/read-small-file.ts';

/** machine-id(5): 32 hexadecimal digits and a line end. */
export const MACHINE_ID_FILE = '/etc/machine-id';
const MAX_BYTES = 256;
/**
 * What systemd calls application-specific: the id itself is not to be shown where others may read.
 */
const APPLICATION = 'spegel identity key';
/** File systems in memory (statfs(2)): TMPFS_MAGIC and RAMFS_MAGIC. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/**
 * A text that tells this machine from others and does not give its machine-id away: HMAC-SHA256
 * keyed by the machine-id, in hex. Undefined where there is nothing to go by: no machine-id, one
 * that is not set yet (empty or `uninitialized`, as in a golden image), or one in memory, which
 * systemd makes anew at each boot of a machine whose /etc is read-only. Never rejects.
 */
export async function machineFingerprint(file = MACHINE_ID_FILE): Promise<string | undefined> {
  try {
    const id = parseMachineId(await readSmallFile(file, MAX_BYTES));
    if (id === undefined || IN_MEMORY.has((await statfs(file)).type)) return undefined;
    return createHmac('sha256', id).update(APPLICATION).digest('hex');
  } catch {
    return undefined;
  }
}

/** systemd reads it with dashes, too, and refuses one of zeros alone. */
function parseMachineId(text: string): Buffer | undefined {
  const digits = text.trim().replaceAll('-', '');
  return /^[0-9a-f]{32}$/i.test(digits) && !/^0+$/.test(digits)
    ? Buffer.from(digits, 'hex')
    : undefined;
}
