import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { canonicalIp } from '../base/address.ts';

export interface PageSettings {
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

export interface Page {
  readonly text: string;
  /** The IP address that answered, canonical. */
  readonly ip: string;
}

/**
 * Gets a page over a new connection. `fetch` would not tell which address answered. Rejects for
 * every status but 200 (redirects are not followed), for an answer that is too long or too slow,
 * and when the signal is aborted.
 */
export async function getPage(
  url: string,
  { timeoutMs, maxBytes }: PageSettings,
  signal: AbortSignal,
): Promise<Page> {
  const ending = new AbortController();
  const end = () => ending.abort(new Error(`no answer within ${timeoutMs} ms`));
  const timer = setTimeout(end, timeoutMs);
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    const { response, ip } = await ask(url, ending.signal);
    if (response.statusCode !== 200) throw new Error(`answered ${response.statusCode}`);
    const pieces: Buffer[] = [];
    let bytes = 0;
    for await (const piece of response as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > maxBytes) throw new Error(`answered more than ${maxBytes} bytes`);
      pieces.push(piece);
    }
    return { text: Buffer.concat(pieces).toString('utf8'), ip };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
    // Ends the connection of an answer that was not read to its end.
    end();
  }
}

/** Resolves with the head of the answer and the IP that sent it. The signal ends the connection. */
function ask(
  url: string,
  signal: AbortSignal,
): Promise<{ readonly response: IncomingMessage; readonly ip: string }> {
  return new Promise((resolve, reject) => {
    const get = url.startsWith('https:') ? httpsGet : httpGet;
    const headers = { Connection: 'close' };
    const request = get(url, { headers, agent: false, signal }, (response) => {
      // Read at once: a socket that has ended, such as by garbage after the answer, has no address.
      resolve({ response, ip: canonicalIp(response.socket.remoteAddress ?? '') });
    });
    // Never removed: errors after the head are emitted here too, and an error without a listener
    // ends the process.
    request.on('error', reject);
    request.on('close', () => reject(new Error('no HTTP answer')));
  });
}
