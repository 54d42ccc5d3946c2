import { messageOf } from '../../lib/base/errors.ts';
import type { Part } from '../../lib/base/lifecycle.ts';
import type { Logger } from '../../lib/base/log.ts';
import type { ExitStatus, ProcessEvents } from './command.ts';

const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Runs the daemon until the first SIGTERM or SIGINT, then stops it, which lets running transfers finish for
 * the time that the daemon sets: status 0. A second signal does not wait for them: status 1, since they
 * were cut. A daemon that cannot start is stopped and its error thrown. SIGHUP calls `reload`.
 */
export async function runDaemon(
  daemon: Part,
  log: Logger,
  events: ProcessEvents,
  reload: () => void = () => {},
): Promise<ExitStatus> {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let received = 0;
  const onSignal = () => {
    received += 1;
    if (received > 1) second.resolve();
    else first.resolve();
  };
  // Heard from the very first moment: a signal that nobody hears ends the process.
  const onReload = () => {
    log.info('reloading');
    try {
      reload();
    } catch (error) {
      log.error('reloading failed', { error: messageOf(error) });
    }
  };
  for (const name of STOP_SIGNALS) events.on(name, onSignal);
  events.on('SIGHUP', onReload);
  const atOnce = second.promise.then((): ExitStatus => {
    log.warn('second signal, not waiting for running transfers');
    return 1;
  });
  try {
    return await Promise.race([serve(daemon, log, first.promise), atOnce]);
  } finally {
    for (const name of STOP_SIGNALS) events.off(name, onSignal);
    events.off('SIGHUP', onReload);
  }
}

async function serve(daemon: Part, log: Logger, stopAsked: Promise<void>): Promise<ExitStatus> {
  // Only the start is aborted: a part that is serving is to drain, and its signal must not end that.
  const starting = new AbortController();
  let isStarted = false;
  const stopping = stopAsked.then(() => {
    log.info('stopping');
    if (!isStarted) starting.abort(new Error('stopped while starting'));
  });
  try {
    await daemon.start(starting.signal);
    isStarted = true;
    await stopping;
  } catch (error) {
    if (!starting.signal.aborted) throw error;
  } finally {
    await daemon.stop();
  }
  return 0;
}
