import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { ContainerdApi } from './api.ts';

/**
 * Discards the ingests of a digest in all namespaces. Otherwise containerd keeps a full ingest with
 * wrong bytes until its lease ends. Every later pull commits it again without a request, and fails.
 * An ingest with a writer stays: then this rejects, and also while containerd does not answer.
 */
export async function discardIngests(
  { api, log }: { readonly api: ContainerdApi; readonly log: Logger },
  digest: Digest,
  signal: AbortSignal,
): Promise<void> {
  let refusal: unknown;
  for (const namespace of await api.namespaces(signal)) {
    const refs = await api.ingests(namespace, signal);
    for (const ref of refs.filter((name) => name.endsWith(`-${digest}`))) {
      try {
        await api.abortIdle(namespace, { ref, digest }, signal);
        log.warn('discarded a download with wrong bytes', { namespace, ref });
      } catch (error) {
        // A pull that runs in one namespace must not keep the ingests of the others.
        refusal = error;
      }
    }
  }
  if (refusal !== undefined) throw refusal;
}
