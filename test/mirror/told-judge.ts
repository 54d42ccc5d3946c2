import type { Judge } from '../../lib/mirror/verdicts.ts';
import type { Digest } from '../../lib/oci/digest.ts';

/** A containerd of which the test says what it makes of its downloads. */
export class ToldJudge implements Judge {
  readonly followed = new Set<Digest>();
  readonly distrusted = new Set<Digest>();
  #listener: Parameters<Judge['listen']>[0] = () => {};

  async follow(digest: Digest): Promise<boolean> {
    this.followed.add(digest);
    return true;
  }

  listen(listener: Parameters<Judge['listen']>[0]): void {
    this.#listener = listener;
  }

  distrust(digest: Digest): void {
    this.distrusted.add(digest);
  }

  async settled(): Promise<void> {}

  tell(...told: Parameters<Parameters<Judge['listen']>[0]>): void {
    this.#listener(...told);
  }
}
