import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ListenAddress } from '../../lib/base/address.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Logger } from '../../lib/base/log.ts';
import { CLEANED_UP, NOT_CLEANED_UP } from '../../lib/cleanup-wait/probe.ts';
import { HttpServer } from '../../lib/http/server.ts';
import type { ExitStatus, ProcessEvents } from './command.ts';
import { runDaemon } from './run-daemon.ts';

const PROBES: readonly string[] = ['/readyz', '/healthz'];

/**
 * Checks whether the mirror settings are gone: undefined, or why they are not, in words for a
 * person. May reject.
 */
export type CleanupCheck = () => Promise<string | undefined>;

/**
 * Answers on /readyz and /healthz whether this host is cleaned up, with a new check for each
 * request: 200 with the text CLEANED_UP, or 503 with the reason. Other paths get 404, other methods
 * than GET and HEAD 405. Runs until SIGTERM or SIGINT, then returns status 0. Rejects with
 * SpegelError ERR_LISTEN if it cannot listen on `address` (port 0: the kernel chooses, and the log
 * line `listening` names it).
 */
export function serveProbes(
  address: ListenAddress,
  check: CleanupCheck,
  log: Logger,
  events: ProcessEvents,
): Promise<ExitStatus> {
  const settings = { address, name: 'probe server', option: '--addr' };
  const fresh = sharedCheck(check);
  const handler = (request: IncomingMessage, response: ServerResponse) =>
    answer(request, response, fresh);
  return runDaemon(new HttpServer({ handler, log }, settings), log, events);
}

/** Any number of clients may ask: requests during a check share the next one. */
function sharedCheck(check: CleanupCheck): CleanupCheck {
  let running: Promise<unknown> = Promise.resolve();
  let waiting: Promise<string | undefined> | undefined;
  return () => {
    waiting ??= running.then(() => {
      const found = check();
      running = found.catch(() => {});
      waiting = undefined;
      return found;
    });
    return waiting;
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  check: CleanupCheck,
): Promise<void> {
  const { method, url = '' } = request;
  if (method !== 'GET' && method !== 'HEAD') {
    send(response, 405, 'expected GET or HEAD\n', { Allow: 'GET, HEAD' });
  } else if (PROBES.includes(url.split('?', 1)[0] ?? '')) {
    const reason = await check().catch(messageOf);
    if (reason === undefined) send(response, 200, CLEANED_UP);
    else send(response, 503, `${NOT_CLEANED_UP}${reason.replaceAll(/\s*\n\s*/g, ' ')}\n`);
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
