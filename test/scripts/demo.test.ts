import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { EXECUTABLE } from '../../lab/executable.ts';

const DEMO = join(import.meta.dirname, '../../scripts/demo.ts');
const LAYER = 'layer.v1.tar';

test('the demo ends quietly at Ctrl-C, which its nodes get as well', async (t) => {
  assert.ok(existsSync(EXECUTABLE), 'make build');
  const demo = spawn(process.execPath, [DEMO], { detached: true });
  const group = -(demo.pid ?? 0);
  t.after(() => demo.exitCode ?? process.kill(group, 'SIGKILL'));
  const closed = once(demo, 'close');
  const stderr = text(demo.stderr);
  let printed = '';
  demo.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const before = printed;
    printed += chunk;
    // The other layers are on their way.
    if (!before.includes(LAYER) && printed.includes(LAYER)) process.kill(group, 'SIGINT');
  });
  assert.deepEqual([await closed, await stderr], [[130, null], '']);
  assert.throws(() => process.kill(group, 0), { code: 'ESRCH' });
});
