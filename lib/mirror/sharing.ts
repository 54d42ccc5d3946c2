import type { InflightClient } from '../tracker/inflight-sharing.ts';
import type { InflightTimes } from './inflight-times.ts';
import { InflightWaits } from './waits.ts';

export interface SharingSettings extends Pick<InflightTimes, 'inflightWaitMs' | 'starvedWaitMs'> {
  /** A peer slower than that many bytes per second is left. */
  readonly minSourceRate: number;
  /** How much waiting is judged by that rate at once, in milliseconds; tests have less time. */
  readonly rateWindowMs?: number;
}

/** In-flight sharing, as a request to the fleet sees it. */
export class Sharing {
  readonly client: InflightClient;
  readonly settings: SharingSettings;
  readonly waits = new InflightWaits();

  constructor(client: InflightClient, settings: SharingSettings) {
    this.client = client;
    this.settings = settings;
  }

  /** What a source must give, in bytes per second: what this host's own upstream gave lately says more than the setting. */
  get leastRate(): number {
    const own = this.client.upstreamRate();
    return own === undefined ? this.settings.minSourceRate : own / 2;
  }
}
