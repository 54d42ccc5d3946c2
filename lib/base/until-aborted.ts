/**
 * The promise's outcome, or a rejection with the signal's reason if that comes first: for calls that cannot be
 * aborted, like `stat` on a disk that hangs. The call itself goes on; what it finds is not looked at.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
