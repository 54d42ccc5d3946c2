/** A client that asks the mirror 50 times a second, on a new connection each time, and counts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetHost } from '../../lab/network/nethost.ts';
import { cleanEnv } from '../../lab/processes/exec.ts';

const EVERY_MS = 20;
/** As long as containerd before 2.3 would wait, or so: for ever. */
const PATIENCE_MS = 60_000;

export interface Asked {
  readonly total: number;
  /** Answers of our daemon, and nobody else's. */
  readonly answered: number;
  /** How the others ended, with how often. */
  readonly others: Readonly<Record<string, number>>;
  readonly longestMs: number;
}

export interface Asking {
  /** Ends it, when all that was asked has come to an end. */
  stop(): Promise<Asked>;
}

/** Asks a host from itself, as containerd does; `cleanup` is told how to end it in any case. */
export function startAsking(
  cleanup: (stop: () => void) => void,
  net: NetHost,
  port = 5000,
): Asking {
  const argv = net.on(process.execPath, import.meta.filename, String(port));
  const [program = '', ...words] = ['setpriv', '--pdeathsig', 'KILL', '--', ...argv];
  const child: ChildProcess = spawn(program, words, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: cleanEnv({}),
  });
  cleanup(() => child.kill('SIGKILL'));
  if (child.stdout === null) throw new Error('no stdout');
  const said = text(child.stdout);
  return {
    stop: async () => {
      child.kill('SIGTERM');
      return JSON.parse(await said) as Asked;
    },
  };
}

/** What came of one request, in one word. */
function ask(port: number): Promise<string> {
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port, path: '/v2/', agent: false, timeout: PATIENCE_MS };
    const request = get(options, (response) => {
      // 200, or 404 in the words of a daemon that is stopping.
      const isOurs = response.headers['x-spegel-peer'] !== undefined;
      const whole = text(response);
      whole.then(
        (body) =>
          resolve(
            isOurs || body.includes('"errors"') ? 'answered' : `stranger: ${body.slice(0, 40)}`,
          ),
        (error) => resolve(error.code),
      );
    });
    request.on('timeout', () => request.destroy(Object.assign(new Error(), { code: 'silence' })));
    request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

async function main(port: number): Promise<void> {
  let isOver = false;
  process.on('SIGTERM', () => {
    isOver = true;
  });
  const began = performance.now();
  const outcomes: Promise<void>[] = [];
  const counts: Record<string, number> = {};
  let longestMs = 0;
  for (let turn = 1; !isOver; turn += 1) {
    const askedAt = performance.now();
    outcomes.push(
      ask(port).then((outcome) => {
        counts[outcome] = (counts[outcome] ?? 0) + 1;
        longestMs = Math.max(longestMs, performance.now() - askedAt);
      }),
    );
    await sleep(Math.max(0, began + turn * EVERY_MS - performance.now()));
  }
  await Promise.all(outcomes);
  const { answered = 0, ...others } = counts;
  process.stdout.write(JSON.stringify({ total: outcomes.length, answered, others, longestMs }));
}

if (import.meta.main) await main(Number(process.argv[2]));
