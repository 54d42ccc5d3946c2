import { get, type IncomingMessage } from 'node:http';
import { formatHostPort } from '../base/address.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Endpoint } from './address.ts';

/** For connecting, head and body together. Go Spegel waits as long. */
export const PROBE_MS = 1_000;

/** A probe's answer is a word; whoever sends more is something else. */
export const MAX_PROBE_BYTES = 64 * 1024;

/**
 * Asks one IP address with GET, once, over a connection of its own. Undefined when the answer is 200 and
 * complete within a second and 64 KiB; else the reason in words for a person (`connection refused`,
 * `answered 503`). A redirect is an answer like any other and not followed. Never rejects; when the signal is
 * aborted it resolves at once. Nothing stays open afterwards.
 */
export async function probe(
  endpoint: Endpoint,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (signal.aborted) return 'not asked yet';
  const ending = new AbortController();
  const end = () => ending.abort();
  const timer = setTimeout(end, PROBE_MS);
  signal.addEventListener('abort', end, { once: true });
  try {
    return await judge(await ask(endpoint, path, ending.signal));
  } catch (error) {
    if (signal.aborted) return 'no answer yet';
    return ending.signal.aborted ? `no answer within ${PROBE_MS / 1_000} s` : reasonOf(error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
    // Also what is still coming of an answer that nobody waits for.
    end();
  }
}

/** The head of the answer. Rejects when none comes; the signal ends the exchange at any time. */
function ask(
  { host, port }: Endpoint,
  path: string,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { Host: formatHostPort(host, port), Connection: 'close' };
    const request = get({ host, port, path, headers, agent: false, signal }, resolve);
    // It stays: what breaks after the head comes here as well, and unheard it would end the process.
    request.on('error', reject);
    request.on('close', () => reject(new Error('no HTTP answer')));
  });
}

async function judge(response: IncomingMessage): Promise<string | undefined> {
  if (response.statusCode !== 200) return `answered ${response.statusCode}`;
  let bytes = 0;
  for await (const piece of response) {
    bytes += piece.length;
    if (bytes > MAX_PROBE_BYTES) return `answered more than ${MAX_PROBE_BYTES / 1024} KiB`;
  }
  return undefined;
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection broke off',
  EPIPE: 'connection broke off',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network unreachable',
};

function reasonOf(error: unknown): string {
  const code = codeOf(error) ?? '';
  // llhttp's: what came is not HTTP, or its head is too long.
  if (code.startsWith('HPE_')) return 'no HTTP answer';
  return REASONS[code] ?? messageOf(error);
}
