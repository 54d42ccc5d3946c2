import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { uninstall } from '../../lib/install/uninstall.ts';
import { ADMINISTRATORS, GO, make, makeDirectory } from '../hosts/go-spegel/go-spegel.ts';

/** It looks at this machine's own /var/lib/private. */
const skip = process.getuid?.() === 0 ? false : 'needs root, as uninstall does';

test("a backup of Go Spegel that returns to its place is restored, not 'changed'", {
  skip,
}, async (t) => {
  const hostsPath = make(makeDirectory(t), ADMINISTRATORS, GO);
  const { changes } = await uninstall(
    { hostsPaths: [hostsPath], purge: false, hasSystemd: false, isDryRun: true },
    { signal: new AbortController().signal, say: () => {} },
  );
  assert.deepEqual(
    changes.filter(({ path }) => path.startsWith(hostsPath)),
    [{ path: join(hostsPath, '_backup'), action: 'restore' }],
  );
});
