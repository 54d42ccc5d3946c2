/**
 * A part of the daemon lives between `start` and `stop`. `start` resolves when the part does its job and
 * rejects when it never can; aborting its signal ends every wait inside. `stop` is idempotent, never
 * rejects for what was already gone, and returns when nothing of the part runs any more.
 */
export interface Part {
  start(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/** Resolves after `ms`; rejects with the signal's reason when it is aborted first. The timer never outlives either. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
