import { existsSync } from 'node:fs';
import { ContainerdApi } from './api.ts';
import { ContainerdClient } from './client.ts';
import { VERSION_DEADLINE_MS } from './constants.ts';

/**
 * The version of the containerd at a socket, such as `1.7.24`. Undefined if none answers in 2 s.
 */
export async function containerdVersion(
  socket: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!existsSync(socket)) return undefined;
  const client = new ContainerdClient(socket);
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(VERSION_DEADLINE_MS)]);
    return await new ContainerdApi(client).version(limit);
  } catch {
    signal.throwIfAborted();
    return undefined;
  } finally {
    client.close();
  }
}
