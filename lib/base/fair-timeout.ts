/**
 * A timer of `ms` milliseconds. Before it fires, answers that came while this process's event loop
 * was busy are read: Node reads sockets between timers and immediates. Otherwise a busy host would
 * find its peers silent. Returns a function that stops it.
 */
export function fairTimeout(ms: number, onTimeout: () => void): () => void {
  let immediate: NodeJS.Immediate | undefined;
  const timer = setTimeout(() => {
    immediate = setImmediate(onTimeout);
  }, ms);
  return () => {
    clearTimeout(timer);
    clearImmediate(immediate);
  };
}

/**
 * Resolves or rejects as `action` does. The signal that it gets ends with `signal`, and `ms`
 * milliseconds from now by a fair timer, unless the action is over by then.
 */
export async function withinFairly<T>(
  ms: number,
  signal: AbortSignal,
  action: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const stop = fairTimeout(ms, () => late.abort(IS_LATE));
  try {
    return await action(AbortSignal.any([signal, late.signal]));
  } finally {
    stop();
  }
}

/** One for all: an error that `abort` makes itself costs a stack trace. */
const IS_LATE = new Error('no answer in time');
