import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { ContainerdApi } from './api.ts';

/**
 * Throws away what containerd has downloaded of a digest, in every namespace. A full ingest of
 * wrong bytes stays behind otherwise: every later pull commits it again without asking anybody, and
 * fails again, until its lease ends. What somebody writes to stays as it is: then, and while
 * containerd is away, this rejects.
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
        log.warn('threw away a download with wrong bytes', { namespace, ref });
      } catch (error) {
        // A pull that runs in one namespace must not keep those of the others.
        refusal = error;
      }
    }
  }
  if (refusal !== undefined) throw refusal;
}
