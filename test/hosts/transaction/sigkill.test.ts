import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { EFFORT } from '../../support/effort.ts';
import { type Command, cleanUp, configure, SOME } from '../scenarios.ts';
import { assertSameTree, file, inScratch, readTree, type Tree, writeTree } from '../tree.ts';
import { begin, settled } from '../undisturbed.ts';

/**
 * Each changes the disk, or waits for it; a kill in front of any other call finds the same disk.
 */
const CALLS = ['mkdir', 'rename', 'link', 'unlink', 'rmdir', 'fsync'];
const MAIN = join(import.meta.dirname, '../../../cmd/main.ts');
const STRACE = {
  skip: spawnSync('strace', ['-V']).status === 0 ? false : 'needs strace',
};

const TREE: Tree = {
  'quay.io/hosts.toml': file('server = "https://quay.example"\n[host]\n', 0o640),
};
const FLAGS = SOME.registries.map(({ host, url }) => url ?? host).join(',');
const COMMANDS: readonly [string, string[], Command[], Command][] = [
  [
    'configuration',
    [`--mirrored-registries=${FLAGS}`, `--mirror-targets=${SOME.targets.join(',')}`],
    [],
    configure(SOME),
  ],
  ['cleanup', [], [configure(SOME)], cleanUp],
];

for (const [name, flags, history, command] of COMMANDS) {
  test(`SIGKILL in front of every call of the kernel: ${name}`, STRACE, async (t) => {
    const kills = await Promise.all(
      // Two at a time, as many as the smallest machine has cores.
      [CALLS.slice(0, 3), CALLS.slice(3)].map((calls) =>
        killAtEach(calls, [name, ...flags], { history, command }),
      ),
    );
    t.diagnostic(`${kills[0]} and ${kills[1]} kills`);
  });
}

interface Undisturbed {
  readonly history: readonly Command[];
  readonly command: Command;
}

function killAtEach(
  calls: readonly string[],
  argv: readonly string[],
  { history, command }: Undisturbed,
) {
  return inScratch(async (base) => {
    const root = join(base, 'certs.d');
    writeTree(root, TREE);
    for (const earlier of history) await earlier(root);
    const start = readTree(base);
    await command(root);
    const finished = readTree(base);
    let kills = 0;
    for (const call of calls) {
      // Every one of the first, and of the many that follow some.
      for (let at = 1; ; at += Math.ceil((at < 25 ? 1 : 5) / EFFORT)) {
        begin(base, start);
        if (!(await isKilled(call, at, root, argv))) break;
        kills += 1;
        const when = `killed at ${call} ${at}`;
        const dead = readTree(base);
        await command(root);
        assertSameTree(settled(readTree(base)), settled(finished), `${when}, then run again`);
        begin(base, dead);
        await cleanUp(root);
        assertSameTree(readTree(root), await ownTree(), `${when}, then cleaned up`);
      }
      assertSameTree(settled(readTree(base)), settled(finished), 'a run that survived');
    }
    return kills;
  });
}

function ownTree(): Promise<Tree> {
  return inScratch((path) => {
    writeTree(path, TREE);
    return readTree(path);
  });
}

/**
 * Runs the command line under strace, which kills it at one call of the kernel; false if it came to
 * its end.
 */
function isKilled(
  call: string,
  at: number,
  root: string,
  [command = '', ...flags]: readonly string[],
) {
  const path = `--containerd-registry-config-path=${root}`;
  const argv = ['-f', '-qq', '-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${at}`];
  const child = spawn('strace', [...argv, process.execPath, MAIN, command, path, ...flags], {
    stdio: 'ignore',
  });
  return new Promise<boolean>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      // strace ends as its program did.
      if (code === 0) resolve(false);
      else if (signal === 'SIGKILL' || code === 137) resolve(true);
      else reject(new Error(`expected the end or SIGKILL, got ${code ?? signal}`));
    });
  });
}
