import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { RepairRequester } from './settings-check.ts';

/** spegel-settings.path waits for this file. */
export const TRIGGER_NAME = 'settings-wanted';

/**
 * Requests a repair by a file, since the service may not call systemd. systemd's unit removes the
 * file.
 */
export class TriggerFile implements RepairRequester {
  readonly #path: string;
  readonly #log: Logger;

  constructor(directory: string, log: Logger) {
    this.#path = join(directory, TRIGGER_NAME);
    this.#log = log;
  }

  request(): void {
    try {
      writeFileSync(this.#path, '');
    } catch (error) {
      this.#log.warn('cannot ask systemd to put the mirror settings back', {
        error: messageOf(error),
      });
    }
  }

  withdraw(): void {
    try {
      rmSync(this.#path, { force: true });
    } catch {
      // systemd removes the directory with the service.
    }
  }
}
