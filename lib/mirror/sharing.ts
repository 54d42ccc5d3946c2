import type { Herd } from '../tracker/inflight-sharing.ts';
import type { InflightTimes } from './inflight-times.ts';
import { Waits } from './waits.ts';

export interface SharingSettings extends Pick<InflightTimes, 'inflightWaitMs' | 'starvedWaitMs'> {
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
