import { runDaemon } from '../../cmd/process/run-daemon.ts';
import { surviveSocketErrors } from '../../cmd/process/uncaught.ts';
import { createLogger } from '../../lib/base/log.ts';

/**
 * A process like that of the registry command, around a daemon that does what its arguments say:
 * `start-hangs` until aborted, `stop-hangs` for good, `socket-error`, `rejection` and `defect`
 * throw once it runs, `reload-fails` throws at a reload. It prints what happens to it.
 */
const wants = (what: string) => process.argv.includes(what);
const say = (text: string) => process.stdout.write(`${text}\n`);
const log = createLogger('INFO', (line) => process.stderr.write(line));
const exit = (status: number) => process.exit(status);
// The sockets of a real daemon keep its process alive.
setInterval(() => {}, 60_000);

const daemon = {
  async start(signal: AbortSignal) {
    if (wants('start-hangs')) {
      say('starting');
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    }
    signal.addEventListener('abort', () => say('aborted'));
    setImmediate(misbehave);
    say('started');
  },
  async stop() {
    say('stopping');
    if (wants('stop-hangs')) await new Promise(() => {});
    say('stopped');
  },
};

function misbehave(): void {
  if (wants('socket-error')) throw socketError();
  if (wants('rejection')) void Promise.reject(socketError());
  if (wants('defect')) throw new TypeError('x is not a function');
}

function socketError(): Error {
  return Object.assign(new Error('connect ECONNRESET'), { code: 'ECONNRESET', syscall: 'connect' });
}

surviveSocketErrors({ events: process, exit }, log);
void runDaemon(daemon, log, process, () => {
  say('reloading');
  if (wants('reload-fails')) throw new Error('no reload');
}).then(exit);
