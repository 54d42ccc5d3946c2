/**
 * A program: a user of a host who holds as many connections to its Spegel as it can. Each sends its
 * request and reads only the first bytes of the answer; one that ends is opened anew. Argument: an
 * Attack as JSON. Prints a Tally as JSON each second.
 */
import { connect } from 'node:net';

export interface Attack {
  readonly port: number;
  /** Whose process this is. */
  readonly uid: number;
  readonly connections: readonly {
    readonly count: number;
    /** What each of them sends; may be nothing. */
    readonly request: string;
  }[];
}

export interface Tally {
  /** Connections that are open now. */
  readonly open: number;
  /** How many answers had which status; `none`: the connection ended without one. */
  readonly answers: Readonly<Record<string, number>>;
}

/** On average: often enough to take each place that gets free. */
const AGAIN_MS = 500;
/** `HTTP/1.1 200` */
const STATUS_AT = 9;

const { port, uid, connections } = JSON.parse(process.argv[2] ?? '') as Attack;
process.setgroups?.([]);
process.setgid?.(uid);
process.setuid?.(uid);
let open = 0;
const answers: Record<string, number> = {};

for (const { count, request } of connections)
  for (let held = 0; held < count; held += 1) hold(request);
setInterval(() => process.stdout.write(`${JSON.stringify({ open, answers })}\n`), 1_000);

function hold(request: string): void {
  let status: string | undefined;
  const buffer = Buffer.alloc(64);
  const onBytes = () => {
    status ??= buffer.toString('latin1', STATUS_AT, STATUS_AT + 3);
    // What was refused is asked anew, what is served is read no further.
    if (!status.startsWith('2')) socket.destroy();
    return false;
  };
  const socket = connect({ port, host: '127.0.0.1', onread: { buffer, callback: onBytes } });
  open += 1;
  socket.on('error', () => {});
  socket.on('close', () => {
    open -= 1;
    const what = status ?? 'none';
    answers[what] = (answers[what] ?? 0) + 1;
    setTimeout(hold, AGAIN_MS * (0.5 + Math.random()), request);
  });
  if (request !== '') socket.write(request);
}
