import { get, type IncomingMessage } from 'node:http';
import { formatHostPort, type HostPort } from '../base/address.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import { PEER_HEADER } from '../base/spegel-headers.ts';

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

/** For connecting, head and body together. Go Spegel waits as long. */
export const PROBE_MS = 1_000;

/** A probe's answer is a line; what sends more is something else. */
export const MAX_PROBE_BYTES = 64 * 1024;
/** Of the line that says why a host is not done. */
const MAX_REASON = 300;
/** Headers of registries: ours, and what the distribution specification's own ones send. */
const REGISTRY_HEADERS = [PEER_HEADER.toLowerCase(), 'docker-distribution-api-version'];

/**
 * Asks one IP address with GET, once, over a connection of its own. Undefined when the answer is
 * that of a `spegel cleanup` whose settings are gone, complete within a second and 64 KiB; else the
 * reason in words for a person (`connection refused`, `answered 503`). A redirect is an answer like
 * any other and not followed. Never rejects; when the signal is aborted it resolves at once.
 * Nothing stays open afterwards.
 */
export async function probe(
  endpoint: HostPort,
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
  { host, port }: HostPort,
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
  const { statusCode: status, headers } = response;
  // Whatever it says: it answers for pulls, and an earlier release's says 200 to the same question.
  if (REGISTRY_HEADERS.some((name) => name in headers)) return `${EXPECTED}, got a registry`;
  if (status !== 200 && status !== 503) return `answered ${status}`;
  const body = await bodyOf(response);
  if (body === undefined) return `answered more than ${MAX_PROBE_BYTES / 1024} KiB`;
  if (status === 503) return refusalIn(body) ?? 'answered 503';
  // A release that answers without a look says no more than `ok`, as many other programs do.
  return body === CLEANED_UP ? undefined : `${EXPECTED}, got another program or an earlier release`;
}

const EXPECTED = 'expected a spegel cleanup';

/** Undefined when it is too long. */
async function bodyOf(response: IncomingMessage): Promise<string | undefined> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response) {
    bytes += piece.length;
    if (bytes > MAX_PROBE_BYTES) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

/**
 * Why a `spegel cleanup` is not done, in a line that may be printed; undefined for anybody else's
 * answer.
 */
function refusalIn(body: string): string | undefined {
  if (!body.startsWith(NOT_CLEANED_UP)) return undefined;
  const reason = body
    .slice(NOT_CLEANED_UP.length)
    .replaceAll(/[\p{C}\s]+/gu, ' ')
    .trim();
  return reason.length > MAX_REASON ? `${reason.slice(0, MAX_REASON)}…` : reason;
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
