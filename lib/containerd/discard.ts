import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { ContainerdApi } from './api.ts';

/**
 * Throws away what containerd has downloaded of a digest, in every namespace. After wrong bytes a full-size
 * ingest stays behind: every later pull would commit it again without asking anybody, and fail again, until
 * its lease ends. The pull that runs is lost; the next one begins anew. Never rejects.
 */
export async function discardIngests(
  { api, log }: { readonly api: ContainerdApi; readonly log: Logger },
  digest: Digest,
  signal: AbortSignal,
): Promise<void> {
  try {
    for (const namespace of await api.namespaces(signal)) {
      const refs = await api.ingests(namespace, signal);
      for (const ref of refs.filter((name) => name.endsWith(`-${digest}`))) {
        await api.abort(namespace, ref, signal);
        log.warn('threw away a download with wrong bytes', { namespace, ref });
      }
    }
  } catch (error) {
    if (signal.aborted) return;
    log.error('a download with wrong bytes stays in containerd', {
      digest,
      error: messageOf(error),
    });
  }
}
