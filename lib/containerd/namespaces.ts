import type { ContainerdApi } from './api.ts';

/** Stands for all namespaces, including ones that are created later. */
const ALL = '*';

/** The namespaces that are shared. */
export class SharedNamespaces {
  readonly #areAllShared: boolean;
  readonly #names: Set<string>;

  constructor(settings: readonly string[]) {
    this.#areAllShared = settings.includes(ALL);
    this.#names = new Set(this.#areAllShared ? [] : settings);
  }

  /** The shared namespaces that are known so far. */
  names(): readonly string[] {
    return [...this.#names];
  }

  /** True if the namespace is shared. Remembers a new namespace if all are shared. */
  has(name: string): boolean {
    if (this.#areAllShared && name !== '') this.#names.add(name);
    return this.#names.has(name);
  }

  /**
   * Asks containerd for its namespaces if all are shared. Rejects when containerd does not answer.
   */
  async refresh(api: ContainerdApi, signal: AbortSignal): Promise<void> {
    if (!this.#areAllShared) return;
    const names = await api.namespaces(signal);
    this.#names.clear();
    for (const name of names) this.#names.add(name);
  }
}
