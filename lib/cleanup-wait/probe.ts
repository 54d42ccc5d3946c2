import { get, type IncomingMessage } from 'node:http';
import { formatHostPort, type HostPort } from '../base/address.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import { PEER_HEADER } from '../base/spegel-headers.ts';
import { MAX_PROBE_ANSWER_BYTES, MAX_REASON_LENGTH, PROBE_TIMEOUT_MS } from './constants.ts';

/**
 * The body of `spegel cleanup --addr` with status 200: the settings are gone. No other program
 * answers this text.
 */
export const CLEANED_UP = 'spegel cleanup: the settings are gone\n';

/**
 * Begins the body of `spegel cleanup --addr` with status 503: the settings are there, or it cannot
 * tell.
 */
export const NOT_CLEANED_UP = 'spegel cleanup: ';

/** Headers of registries: ours, and that of the distribution specification's own ones. */
const REGISTRY_HEADERS = [PEER_HEADER.toLowerCase(), 'docker-distribution-api-version'];

/**
 * Asks one IP address with GET, once, over a connection of its own. Undefined when a `spegel
 * cleanup` answers that the settings are gone, complete within a second and 64 KiB; otherwise the
 * reason for a person (`connection refused`, `answered 503`). Follows no redirect. Never rejects;
 * resolves at once when the signal is aborted. Leaves nothing open.
 */
export async function probe(
  endpoint: HostPort,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (signal.aborted) return 'not asked yet';
  const ending = new AbortController();
  const end = () => ending.abort();
  const timer = setTimeout(end, PROBE_TIMEOUT_MS);
  signal.addEventListener('abort', end, { once: true });
  try {
    return await judge(await ask(endpoint, path, ending.signal));
  } catch (error) {
    if (signal.aborted) return 'no answer yet';
    return ending.signal.aborted
      ? `no answer within ${PROBE_TIMEOUT_MS / 1_000} s`
      : reasonOf(error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
    // Ends the rest of an answer, too.
    end();
  }
}

/** The head of the answer. Rejects when none comes; the signal ends the exchange at any time. */
function ask(
  { host, port }: HostPort,
  path: string,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { Host: formatHostPort(host, port), Connection: 'close' };
    const request = get({ host, port, path, headers, agent: false, signal }, resolve);
    // Stays after the head: without a listener, a later error would end the process.
    request.on('error', reject);
    request.on('close', () => reject(new Error('no HTTP answer')));
  });
}

async function judge(response: IncomingMessage): Promise<string | undefined> {
  const { statusCode: status, headers } = response;
  // A registry answers pulls; that of an earlier release answers 200 to this question.
  if (REGISTRY_HEADERS.some((name) => name in headers)) return `${EXPECTED}, got a registry`;
  if (status !== 200 && status !== 503) return `answered ${status}`;
  const body = await bodyOf(response);
  if (body === undefined) return `answered more than ${MAX_PROBE_ANSWER_BYTES / 1024} KiB`;
  if (status === 503) return refusalIn(body) ?? 'answered 503';
  // A release that does not look answers just `ok`, as many other programs do.
  return body === CLEANED_UP ? undefined : `${EXPECTED}, got another program or an earlier release`;
}

const EXPECTED = 'expected a spegel cleanup';

/** The body as text; undefined when it is too long. */
async function bodyOf(response: IncomingMessage): Promise<string | undefined> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response) {
    bytes += piece.length;
    if (bytes > MAX_PROBE_ANSWER_BYTES) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

/** Why a `spegel cleanup` is not done, in one printable line; undefined for another program. */
function refusalIn(body: string): string | undefined {
  if (!body.startsWith(NOT_CLEANED_UP)) return undefined;
  const reason = body
    .slice(NOT_CLEANED_UP.length)
    .replaceAll(/[\p{C}\s]+/gu, ' ')
    .trim();
  return reason.length > MAX_REASON_LENGTH ? `${reason.slice(0, MAX_REASON_LENGTH)}…` : reason;
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
  // A code of llhttp: the answer is not HTTP, or its head is too long.
  if (code.startsWith('HPE_')) return 'no HTTP answer';
  return REASONS[code] ?? messageOf(error);
}
