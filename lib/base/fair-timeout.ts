/** A shorter step costs CPU; within a longer one, a busy moment would count. */
const MIN_STEP_MS = 10;
const STEPS = 10;

/** A host that is always busy waits so many times as long at the most. */
const LONGEST = 10;

/**
 * A timer of `ms` milliseconds in which this process runs: time without a CPU, or in one long turn
 * of the event loop, does not count, up to LONGEST times `ms`. Otherwise a busy host would find its
 * peers silent. Before it fires, what has come is read: Node reads sockets between timers and
 * immediates. Returns a function that stops it.
 */
export function fairTimeout(ms: number, onTimeout: () => void): () => void {
  const stepMs = Math.min(ms, Math.max(MIN_STEP_MS, ms / STEPS));
  const longestAt = performance.now() + ms * LONGEST;
  let leftMs = ms;
  let immediate: NodeJS.Immediate | undefined;
  // A step counts no more than its length, however late its timer is.
  const onStep = () => {
    leftMs -= stepMs;
    if (leftMs < 1 || performance.now() >= longestAt) immediate = setImmediate(onTimeout);
    else timer = setTimeout(onStep, Math.min(stepMs, leftMs));
  };
  let timer = setTimeout(onStep, stepMs);
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
