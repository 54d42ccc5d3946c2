import { createHmac } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { readSmallFile } from '../../base/read-small-file.ts';

/** machine-id(5): 32 hexadecimal digits and a line end. */
export const MACHINE_ID_FILE = '/etc/machine-id';
const MAX_BYTES = 256;
/**
 * Makes an id that is specific to this application, as systemd advises: the machine-id itself must
 * not be shown to others.
 */
const APPLICATION = 'spegel identity key';
/** File systems in memory (statfs(2)): TMPFS_MAGIC and RAMFS_MAGIC. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/**
 * A text that identifies this machine without revealing its machine-id: HMAC-SHA256 keyed by the
 * machine-id, in hex. Undefined if there is no machine-id, if it is not set yet (empty or
 * `uninitialized`, as in a golden image), or if it is in memory, where systemd creates a new one at
 * each boot of a machine with a read-only /etc. Never rejects.
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

/** As systemd: dashes are allowed, and an id of zeros is refused. */
function parseMachineId(text: string): Buffer | undefined {
  const digits = text.trim().replaceAll('-', '');
  return /^[0-9a-f]{32}$/i.test(digits) && !/^0+$/.test(digits)
    ? Buffer.from(digits, 'hex')
    : undefined;
}
