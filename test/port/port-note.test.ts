import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { peerIdsOf } from '../../lib/port/port-note.ts';

test('a note with a member of another type is none', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'spegel-notes-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const note = { pid: 7, peerId: 'a', host: '', port: 5000, inodes: [1] };
  const odd = [{ ...note, peerId: { toString: 1 } }, { ...note, inodes: [{}] }, [], null, 1];
  for (const [index, one] of [note, ...odd].entries())
    writeFileSync(join(directory, `${index}.json`), JSON.stringify(one));
  assert.deepEqual([...peerIdsOf(7, directory)], ['a']);
});
