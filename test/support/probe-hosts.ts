/** Real HTTP servers on this machine's loopback addresses, to be probed. */
import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { TestContext } from 'node:test';
import { formatHostPort, parseHostPort } from '../../lib/base/address.ts';
import { CLEANED_UP } from '../../lib/cleanup-wait/probe.ts';

/** Nobody listens there. */
export const REFUSING = '127.0.0.1:1';

export const sayOk: RequestListener = (_request, response) => {
  response.end(CLEANED_UP);
};

export const staySilent: RequestListener = () => {};

/** Answers the first requests with 503 and the others as a cleanup that is done. */
export function okFrom(first: number): RequestListener {
  let requests = 0;
  return (_request, response) => {
    requests += 1;
    if (requests < first) response.writeHead(503).end();
    else response.end(CLEANED_UP);
  };
}

/** Serves on a port that the kernel chooses, until the test ends, and gives `host:port`. */
export async function serve(
  t: TestContext,
  answer: RequestListener,
  host = '127.0.0.1',
): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => {
    server.listen(0, host, resolve);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return formatHostPort(host, address.port);
}

/** `host:port` taken apart. */
export function endpoint(address: string): { host: string; port: number } {
  const found = parseHostPort(address);
  assert.ok(found !== undefined, address);
  return found;
}
