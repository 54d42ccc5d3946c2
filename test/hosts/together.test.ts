import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { EFFORT } from '../support/effort.ts';
import { file, inScratch, readTree, type Tree, treeDifferences, writeTree } from './tree.ts';

const MAIN = join(import.meta.dirname, '../../cmd/main.ts');
const ROUNDS = Math.ceil(5 * EFFORT);

const TREE: Tree = {
  '_default/hosts.toml': file('[host."https://default.example"]\n'),
  'quay.io/hosts.toml': file('server = "https://quay.example"\n[host]\n', 0o640),
  'private.example/ca.crt': file('a certificate'),
};

const ALL = ['configuration'];
const OTHER = [
  'configuration',
  '--mirrored-registries=https://quay.io,https://new.example',
  '--mirror-targets=http://127.0.0.1:5001',
];
const CLEAN = ['cleanup'];

/** Runs the command line; rejects unless it ends with 0. */
function spegel(root: string, [command = '', ...flags]: readonly string[]): Promise<void> {
  const argv = [MAIN, command, `--containerd-registry-config-path=${root}`, ...flags];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${command} ended with ${code}: ${said}`));
    });
  });
}

test('several at once end as one after the other would', async (t) => {
  await inScratch(async (base) => {
    const root = join(base, 'certs.d');
    // The last one decides, whoever was before: that is what the property test of settings shows.
    const ends = new Map<string, Tree>();
    for (const last of [ALL, OTHER, CLEAN]) {
      writeTree(root, TREE);
      await spegel(root, last);
      ends.set(last.join(' '), readTree(root));
      await spegel(root, CLEAN);
    }
    const winners: string[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await Promise.all([ALL, OTHER, CLEAN].map((argv) => spegel(root, argv)));
      const now = readTree(root);
      const winner = [...ends].find(([, end]) => treeDifferences(now, end).length === 0)?.[0];
      assert.ok(winner !== undefined, `round ${round}: ${JSON.stringify(now, undefined, 2)}`);
      winners.push(winner);
    }
    t.diagnostic(`${ROUNDS} rounds of three; last were: ${winners.join('; ')}`);
  });
});
