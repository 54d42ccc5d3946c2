/** Stores over containerds of the lab. They stop with the test. */
import type { TestContext } from 'node:test';
import { waitUntil } from '../../lab/processes/exec.ts';
import { createLogger, type Logger, silentLogger } from '../../lib/base/log.ts';
import { ContainerdStore, type ContainerdStoreSettings } from '../../lib/containerd/store.ts';
import { ALL } from './namespace-images.ts';

export const signal = new AbortController().signal;

/**
 * Settings without the socket. Default: content root from containerd, one namespace, no filters.
 */
export type StoreOptions = Partial<ContainerdStoreSettings> & { readonly log?: Logger };

/** Starts a store without waiting for it to be ready. */
export async function startStore(
  t: TestContext,
  socket: string,
  { log = silentLogger, ...options }: StoreOptions = {},
): Promise<ContainerdStore> {
  const settings = { socket, namespaces: ['default'], contentPath: undefined, filters: ALL };
  const store = new ContainerdStore({ log }, { ...settings, ...options });
  t.after(() => store.stop());
  await store.start(signal);
  return store;
}

/** Starts a store and waits until it has read containerd's state. */
export async function readyStore(
  t: TestContext,
  socket: string,
  options: StoreOptions = {},
): Promise<ContainerdStore> {
  const store = await startStore(t, socket, options);
  await waitUntil('the store is ready', () => store.isReady());
  return store;
}

/** A log that keeps its lines. */
export function recordingLog(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { lines, log: createLogger('INFO', (line) => lines.push(line)) };
}
