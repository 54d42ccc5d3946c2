/** Two seconds: containerd writes a layer in steps of 1 MiB, which come rarely where a link is slow. */
const WINDOW_MS = 2_000;
/** A first MiB that has just come is no rate yet. */
const LEAST_MS = 500;

/** What all contents that this host gets came to lately. */
export class DownloadRate {
  readonly #marks: { readonly at: number; readonly bytes: number }[] = [];

  grew(bytes: number, at: number): void {
    this.#marks.push({ at, bytes });
    this.#forget(at);
  }

  /** Bytes per second, since it began to flow if that is not long ago. */
  rate(now: number): number {
    this.#forget(now);
    const sinceMs = Math.max(LEAST_MS, now - (this.#marks[0]?.at ?? now));
    const bytes = this.#marks.reduce((sum, mark) => sum + mark.bytes, 0);
    return (bytes * 1_000) / sinceMs;
  }

  #forget(now: number): void {
    while ((this.#marks[0]?.at ?? now) < now - WINDOW_MS) this.#marks.shift();
  }
}
