import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../lib/base/log.ts';
import type { ListenAddress } from '../lib/daemon.ts';
import { HttpServer } from '../lib/http/server.ts';
import type { ExitStatus, ProcessEvents } from './command.ts';
import { runDaemon } from './run-daemon.ts';

const PROBES: readonly string[] = ['/readyz', '/healthz'];

/**
 * Tells who asks that this host is done: 200 on /readyz and /healthz, 404 elsewhere, 405 for other methods
 * than GET and HEAD. Until SIGTERM or SIGINT, then status 0. Rejects with SpegelError ERR_LISTEN when nothing
 * can listen on `address` (port 0: the kernel chooses, the log line `listening` names it).
 */
export function serveProbes(
  address: ListenAddress,
  log: Logger,
  events: ProcessEvents,
): Promise<ExitStatus> {
  const settings = { address, name: 'probe server', option: '--addr' };
  return runDaemon(new HttpServer({ handler: answer, log }, settings), log, events);
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { method, url = '' } = request;
  if (method !== 'GET' && method !== 'HEAD') {
    send(response, 405, 'expected GET or HEAD\n', { Allow: 'GET, HEAD' });
  } else if (PROBES.includes(url.split('?', 1)[0] ?? '')) {
    send(response, 200, 'ok\n');
  } else {
    send(response, 404, `expected ${PROBES.join(' or ')}\n`);
  }
}

/** Node leaves the body out of an answer to HEAD. */
function send(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const own = { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body) };
  response.writeHead(status, { ...own, ...headers }).end(body);
}
