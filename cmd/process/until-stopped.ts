import { SpegelError } from '../../lib/base/errors.ts';
import type { ProcessEvents } from './command.ts';

/** Runs `work` with a signal that SIGTERM and SIGINT abort. */
export async function untilStopped<T>(
  events: ProcessEvents,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const onSignal = () => stop.abort(new SpegelError('ERR_UNEXPECTED', 'stopped by a signal'));
  events.on('SIGTERM', onSignal);
  events.on('SIGINT', onSignal);
  try {
    return await work(stop.signal);
  } finally {
    events.off('SIGTERM', onSignal);
    events.off('SIGINT', onSignal);
  }
}
