import type { Herd } from '../tracker/herd.ts';
import { Waits } from './waits.ts';

export interface SharingSettings {
  /** Longest wait for bytes of somebody who is getting them himself. */
  readonly inflightWaitMs: number;
  /** The same where this host is busy with the bytes of other contents; at least as long. */
  readonly starvedWaitMs: number;
  /** A peer slower than that many bytes per second is left. */
  readonly minSourceRate: number;
  /** How much waiting is judged by that rate at once, in milliseconds; tests have less time. */
  readonly rateWindowMs?: number;
}

/** In-flight sharing, as a request to the fleet sees it. */
export class Sharing {
  readonly herd: Herd;
  readonly settings: SharingSettings;
  readonly waits = new Waits();

  constructor(herd: Herd, settings: SharingSettings) {
    this.herd = herd;
    this.settings = settings;
  }

  /** What a source must give, in bytes per second: what this host's own upstream gave lately says more than the setting. */
  get leastRate(): number {
    const own = this.herd.upstreamRate();
    return own === undefined ? this.settings.minSourceRate : own / 2;
  }
}
