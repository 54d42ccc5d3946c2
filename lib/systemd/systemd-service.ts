import { delay } from '../base/abortable.ts';
import { messageOf } from '../base/errors.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import {
  BEATS_PER_WATCHDOG,
  EXTEND_BY_MS,
  EXTEND_EVERY_MS,
  MAX_READY_PAUSE_MS,
  MIN_READY_PAUSE_MS,
} from './constants.ts';
import { openNotifySocket, type Send } from './notify-socket.ts';

/** What systemd told this process when it started it. */
export interface ServiceManager {
  /** NOTIFY_SOCKET: a path, or an abstract name as `@name`. */
  readonly socket: string;
  /** WATCHDOG_USEC in milliseconds; undefined: no watchdog for this process. */
  readonly watchdogMs: number | undefined;
}

/**
 * A part that serves once it has started, but may have to wait for something before it is of use.
 */
export interface ServicePart extends Part {
  ready(): boolean;
}

const SERVING = 'serving';
const WAITING = 'serving what peers have, waiting for the store of this host';

/**
 * Runs a part as a service of systemd and tells systemd its state: ready, once it serves and its
 * store can be read; alive, from the event loop that serves pulls, so that a frozen one is noticed;
 * stopping. The part works the same where systemd does not listen.
 */
export class SystemdService implements Part {
  readonly #part: ServicePart;
  readonly #log: Logger;
  readonly #manager: ServiceManager;
  readonly #ended = new AbortController();
  #send: Send = () => true;
  #isHeard = true;
  #beat: NodeJS.Timeout | undefined;

  constructor(
    { part, log }: { readonly part: ServicePart; readonly log: Logger },
    manager: ServiceManager,
  ) {
    this.#part = part;
    this.#log = log;
    this.#manager = manager;
  }

  /**
   * Resolves when the part has started. systemd hears of readiness when the part is ready, maybe
   * much later.
   */
  async start(signal: AbortSignal): Promise<void> {
    this.#open();
    const extend = () => this.#tell(`EXTEND_TIMEOUT_USEC=${EXTEND_BY_MS * 1_000}`);
    this.#beat = setInterval(extend, EXTEND_EVERY_MS);
    await this.#part.start(signal);
    void this.#follow(this.#ended.signal);
  }

  async stop(): Promise<void> {
    this.#tell('STOPPING=1', 'STATUS=stopping, running transfers may end');
    this.#ended.abort();
    try {
      // The watchdog goes on: a stop that freezes must be noticed as well.
      await this.#part.stop();
    } finally {
      clearInterval(this.#beat);
    }
  }

  #open(): void {
    try {
      this.#send = openNotifySocket(this.#manager.socket);
    } catch (error) {
      const fields = { socket: this.#manager.socket, error: messageOf(error) };
      this.#log.error('systemd cannot be told anything; its unit needs Type=exec', fields);
    }
  }

  /** Tells systemd once that the part is ready, and then only its status. */
  async #follow(ended: AbortSignal): Promise<void> {
    let told: string | undefined;
    let isStarting = true;
    let pause = MIN_READY_PAUSE_MS;
    while (!ended.aborted) {
      const isReady = this.#part.ready();
      const status = isReady ? SERVING : WAITING;
      if (isReady && isStarting) {
        isStarting = false;
        this.#watch();
        this.#tell('READY=1', `STATUS=${status}`);
      } else if (status !== told) {
        this.#tell(`STATUS=${status}`);
      }
      told = status;
      await delay(pause, ended).catch(() => {});
      pause = Math.min(pause * 2, MAX_READY_PAUSE_MS);
    }
  }

  /**
   * Starts the signs of life. systemd's watchdog begins with readiness; until then systemd is asked
   * for more time to start.
   */
  #watch(): void {
    clearInterval(this.#beat);
    const { watchdogMs } = this.#manager;
    if (watchdogMs === undefined) return;
    this.#beat = setInterval(() => this.#tell('WATCHDOG=1'), watchdogMs / BEATS_PER_WATCHDOG);
  }

  #tell(...lines: readonly string[]): void {
    const isHeard = this.#send(lines.join('\n'));
    if (isHeard !== this.#isHeard) {
      const fields = { socket: this.#manager.socket, message: lines[0] };
      if (isHeard) this.#log.info('systemd hears us again', fields);
      else this.#log.warn('systemd was not reached', fields);
    }
    this.#isHeard = isHeard;
  }
}
