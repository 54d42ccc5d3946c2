/**
 * Between containerd and the daemon of its host: passes every byte on as it came, ends included,
 * and notes the longest time that containerd had to wait for the next one. A program, started
 * inside of a host's network namespace: `tap-program.ts LOG`; each new record is a line of LOG.
 * A look at the daemon's own metrics would not do: it would not see an answer that hangs.
 */
import { appendFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { DAEMON_PORT, TAP_PORT, TAP_SOURCE } from './tap-ports.ts';

const [, , log = ''] = process.argv;
let longest = 0;
appendFileSync(log, '');

createServer({ allowHalfOpen: true }, (client) => {
  const daemon = connect({
    host: '127.0.0.1',
    port: DAEMON_PORT,
    localAddress: TAP_SOURCE,
    allowHalfOpen: true,
  });
  const watch = new Watch();
  join(client, daemon, (data) => watch.asked(data));
  join(daemon, client, (data) => watch.answered(data), watch);
  daemon.on('end', () => watch.ended());
  client.on('close', () => watch.gone());
}).listen(TAP_PORT, '0.0.0.0');

/** One connection of containerd: one answer at a time. */
class Watch {
  #since: number | undefined;
  #what = '';
  #isHead = false;
  /** Bytes of the body that are still to come; undefined: the answer's head is. */
  #remaining: number | undefined;

  asked(data: Buffer): void {
    this.#what = data.toString('latin1', 0, 200).split(' HTTP')[0] ?? '';
    this.#isHead = this.#what.startsWith('HEAD');
    this.#remaining = undefined;
    this.#since = performance.now();
  }

  answered(data: Buffer): void {
    this.#note();
    this.#since = performance.now();
    if (this.#remaining === undefined) {
      const head = data.toString('latin1', 0, 8_192);
      const [, length = '0'] = /^content-length: (\d+)/im.exec(head) ?? [];
      const body = data.length - (head.indexOf('\r\n\r\n') + 4);
      this.#remaining = (this.#isHead ? 0 : Number(length)) - body;
    } else this.#remaining -= data.length;
    if (this.#remaining <= 0) this.#since = undefined;
  }

  /** containerd did not read: that is no wait of its own. */
  resumed(): void {
    if (this.#since !== undefined) this.#since = performance.now();
  }

  ended(): void {
    this.#note();
    this.#since = undefined;
  }

  gone(): void {
    this.ended();
  }

  #note(): void {
    if (this.#since === undefined) return;
    const ms = performance.now() - this.#since;
    if (ms <= longest || !this.#what.includes(' /v2/')) return;
    longest = ms;
    appendFileSync(log, `${JSON.stringify({ ms: Math.round(ms), what: this.#what })}\n`);
  }
}

function join(from: Socket, to: Socket, onData: (data: Buffer) => void, watch?: Watch): void {
  from.on('data', (data: Buffer) => {
    onData(data);
    if (to.write(data)) return;
    from.pause();
    to.once('drain', () => {
      watch?.resumed();
      from.resume();
    });
  });
  from.on('end', () => to.end());
  from.on('error', () => to.resetAndDestroy());
  // What was written is still to arrive: not destroyed.
  from.on('close', () => to.end());
}
