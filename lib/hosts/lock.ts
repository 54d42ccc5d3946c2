import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { codeOf, SpegelError } from '../base/errors.ts';
import { delay } from '../base/lifecycle.ts';

/** Longer than any run takes that is not stuck. */
const WAIT_MS = 10_000;
const RETRY_MS = 100;

/**
 * Runs `work` while no other spegel of this host works on the same directory; waits for one that does.
 * The lock is a name in the kernel (an abstract unix socket), which goes with its process however that ends:
 * a lock file would stay after a kill -9. Rejects with SpegelError ERR_HOSTS when the wait was in vain.
 */
export async function withLock<T>(root: string, work: () => T, signal: AbortSignal): Promise<T> {
  const sum = createHash('sha256').update(root).digest('hex').slice(0, 32);
  const server = await listenFor(`\0spegel-certs-d-${sum}`, root, signal);
  try {
    return work();
  } finally {
    server.close();
  }
}

async function listenFor(name: string, root: string, signal: AbortSignal): Promise<Server> {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const server = await listenOnce(name);
    if (server !== undefined) return server;
    if (Date.now() > deadline) {
      throw new SpegelError(
        'ERR_HOSTS',
        `${root}: another spegel has been working on it for ${WAIT_MS / 1000} s; run this again when it has ended`,
      );
    }
    await delay(RETRY_MS, signal);
  }
}

/** Undefined while another has the name. */
async function listenOnce(name: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  server.listen(name, listening.resolve);
  try {
    await listening.promise;
    return server;
  } catch (error) {
    if (codeOf(error) === 'EADDRINUSE') return undefined;
    throw error;
  }
}
