/**
 * A program: a stranger that speaks HTTP to a host's Spegel. Argument: a Strange as JSON. Each
 * connection sends its request and reads no further than the status; one that ends is opened anew.
 * Prints a StrangeTally as JSON each second.
 */
import { connect, createServer } from 'node:net';

export interface Strange {
  readonly host: string;
  /** Addresses of this host from which it connects, in turn. */
  readonly from: readonly string[];
  readonly connections: readonly {
    readonly port: number;
    readonly count: number;
    /**
     * What each of them sends, in latin1; may be nothing. `{n}` is another number each time,
     * `{long}` a million control characters.
     */
    readonly request: string;
    /** When it is answered, the next one comes. */
    readonly isRead?: boolean;
  }[];
  /** Any request to this port is answered with these bytes, in latin1. */
  readonly answers?: { readonly port: number; readonly bytes: string };
}

export interface StrangeTally {
  readonly open: number;
  /** Connections that were made so far. */
  readonly made: number;
  /** How many answers had which status; `none`: the connection ended without one. */
  readonly answers: Readonly<Record<string, number>>;
}

/** On average: often enough to take each place that gets free. */
const AGAIN_MS = 250;
/** `HTTP/1.1 200` */
const STATUS_AT = 9;
const LONG = '\u0085'.repeat(1_000_000);

const { host, from, connections, answers: said } = JSON.parse(process.argv[2] ?? '') as Strange;
const answers: Record<string, number> = {};
let [open, made, turn] = [0, 0, 0];

for (const one of connections) for (let held = 0; held < one.count; held += 1) hold(one);
if (said !== undefined) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(Buffer.from(said.bytes, 'latin1')));
  });
  server.listen(said.port, '0.0.0.0');
}
setInterval(() => process.stdout.write(`${JSON.stringify({ open, made, answers })}\n`), 1_000);

function hold(one: Strange['connections'][number]): void {
  const { port, request, isRead = false } = one;
  let status: string | undefined;
  const buffer = Buffer.alloc(isRead ? 65_536 : 64);
  const onBytes = () => {
    status ??= buffer.toString('latin1', STATUS_AT, STATUS_AT + 3);
    if (isRead) socket.end();
    return isRead;
  };
  const localAddress = from[turn++ % from.length] ?? host;
  const onread = { buffer, callback: onBytes };
  const socket = connect({ port, host, localAddress, onread });
  socket.on('connect', () => {
    open += 1;
    made += 1;
    socket.on('close', () => {
      open -= 1;
    });
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    const what = status ?? 'none';
    answers[what] = (answers[what] ?? 0) + 1;
    setTimeout(hold, AGAIN_MS * (0.5 + Math.random()), one);
  });
  if (request === '') return;
  const numbered = request.replaceAll('{n}', () => String(made + turn));
  socket.write(Buffer.from(numbered.replaceAll('{long}', LONG), 'latin1'));
}
