import { messageOf } from '../base/errors.ts';
import { delay } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { ContainerdApi } from './api.ts';

/** A pull that goes on may take so long; what it leaves behind then expires with its lease. */
const GIVE_UP_MS = 60 * 60_000;
const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;

/**
 * Throws away what containerd has downloaded of a digest, in every namespace, as soon as nobody
 * writes to it. A full ingest of wrong bytes stays behind otherwise: every later pull commits it
 * again without asking anybody, and fails again, until its lease ends. Never rejects.
 */
export async function discardIngests(
  { api, log }: { readonly api: ContainerdApi; readonly log: Logger },
  digest: Digest,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + GIVE_UP_MS;
  for (let pauseMs = MIN_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
    try {
      return await discardOnce({ api, log }, digest, signal);
    } catch (error) {
      if (signal.aborted) return;
      log.debug('a download is not thrown away yet', { digest, error: messageOf(error) });
      if (performance.now() > deadline) {
        log.error('a download with wrong bytes stays in containerd', { digest });
        return;
      }
    }
    await delay(pauseMs, signal).catch(() => {});
  }
}

/** Rejects while one of them has a writer, or containerd is away. */
async function discardOnce(
  { api, log }: { readonly api: ContainerdApi; readonly log: Logger },
  digest: Digest,
  signal: AbortSignal,
): Promise<void> {
  for (const namespace of await api.namespaces(signal)) {
    const refs = await api.ingests(namespace, signal);
    for (const ref of refs.filter((name) => name.endsWith(`-${digest}`))) {
      await api.abortIdle(namespace, { ref, digest }, signal);
      log.warn('threw away a download with wrong bytes', { namespace, ref });
    }
  }
}
