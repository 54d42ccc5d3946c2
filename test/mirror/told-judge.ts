import type { DownloadJudge } from '../../lib/mirror/verdicts.ts';
import type { Digest } from '../../lib/oci/digest.ts';

/** A containerd of which the test says what it makes of its downloads. */
export class ToldJudge implements DownloadJudge {
  readonly followed = new Set<Digest>();
  readonly distrusted = new Set<Digest>();
  #listener: Parameters<DownloadJudge['listen']>[0] = () => {};

  async follow(digest: Digest): Promise<boolean> {
    this.followed.add(digest);
    return true;
  }

  listen(listener: Parameters<DownloadJudge['listen']>[0]): void {
    this.#listener = listener;
  }

  distrust(digest: Digest): void {
    this.distrusted.add(digest);
  }

  async untilSettled(): Promise<void> {}

  tell(...told: Parameters<Parameters<DownloadJudge['listen']>[0]>): void {
    this.#listener(...told);
  }
}
