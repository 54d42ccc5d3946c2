import type { ContainerdApi } from './api.ts';

/** Stands for all namespaces, also ones that appear later. */
const ALL = '*';

/** The namespaces that are shared. */
export class SharedNamespaces {
  readonly #all: boolean;
  readonly #names: Set<string>;

  constructor(settings: readonly string[]) {
    this.#all = settings.includes(ALL);
    this.#names = new Set(this.#all ? [] : settings);
  }

  /** Those known so far; a copy. */
  names(): readonly string[] {
    return [...this.#names];
  }

  /** True when the namespace is shared. One that is heard of for the first time is known from then on. */
  has(name: string): boolean {
    if (this.#all && name !== '') this.#names.add(name);
    return this.#names.has(name);
  }

  /** Asks for all when all are shared. Rejects when containerd is away. */
  async refresh(api: ContainerdApi, signal: AbortSignal): Promise<void> {
    if (!this.#all) return;
    const names = await api.namespaces(signal);
    this.#names.clear();
    for (const name of names) this.#names.add(name);
  }
}
