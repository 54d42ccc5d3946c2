/** A server of ours on descriptor 3, as systemd starts it: argv has its address, stdout its log. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { createLogger } from '../../lib/base/log.ts';
import { HttpServer } from '../../lib/http/server.ts';

export interface HeldServer {
  /** The port that is held for it. */
  readonly held: number;
  /** The port that it says it listens on. */
  readonly port: number;
  readonly log: readonly Record<string, unknown>[];
}

/**
 * Starts one whose descriptor listens at `host`; `addressOf` makes its own address of that port.
 */
export async function startHeldServer(
  cleanup: (stop: () => void) => void,
  host: string,
  addressOf: (held: number) => { readonly host: string; readonly port: number },
): Promise<HeldServer> {
  const holder = createServer();
  holder.listen({ host, port: 0 });
  await once(holder, 'listening');
  const { port: held } = holder.address() as { port: number };
  // Node has no other name for it.
  const { fd } = (holder as unknown as { _handle: { fd: number } })._handle;
  const argv = [import.meta.filename, JSON.stringify(addressOf(held))];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit', fd] });
  // The child has a copy; two processes would share what comes.
  holder.close();
  cleanup(() => child.kill('SIGKILL'));
  const log: Record<string, unknown>[] = [];
  if (child.stdout === null) throw new Error('no stdout');
  for await (const line of createInterface({ input: child.stdout })) {
    log.push(JSON.parse(line));
    if (log.at(-1)?.msg === 'listening') break;
  }
  return { held, port: Number(log.at(-1)?.port), log };
}

if (import.meta.main) {
  const log = createLogger('INFO', (text) => process.stdout.write(text));
  const server = new HttpServer(
    { handler: (_request, response) => void response.end('served'), log },
    { address: JSON.parse(process.argv[2] ?? ''), descriptor: 3, name: 'registry', option: '-' },
  );
  await server.start(new AbortController().signal);
}
