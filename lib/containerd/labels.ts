import { type FilterSettings, passes } from '../oci/filters.ts';
import { isRepository } from '../oci/reference.ts';

const PREFIX = 'containerd.io/distribution.source.';

/** Where a pull got a blob. */
export interface LabelSource {
  /** The host of the registry WITHOUT its port: containerd writes it so (seen on 1.6 to 2.1). */
  readonly host: string;
  readonly repository: string;
}

/** Reads the labels `containerd.io/distribution.source.<host>` = `<repository>,<repository>…`. */
export function sourcesOf(labels: Readonly<Record<string, string>>): LabelSource[] {
  return Object.entries(labels)
    .filter(([key]) => key.startsWith(PREFIX))
    .flatMap(([key, value]) => {
      const host = key.slice(PREFIX.length);
      return value.split(',').map((repository) => ({ host, repository }));
    })
    .filter(({ host, repository }) => host !== '' && isRepository(repository));
}

/**
 * Applies the filters to names without the port of their registry. Accepts a host if a mirrored
 * registry has it with any port (`10.0.0.1:5000` accepts `10.0.0.1`). Rejects content if a filter
 * matches its name without a port, or with any port that the settings name. If an image record
 * names the content with its port, the record decides instead.
 */
export class LabelFilter {
  readonly #settings: FilterSettings;
  readonly #hosts: ReadonlySet<string>;
  readonly #ports: readonly string[];

  constructor(settings: FilterSettings) {
    this.#settings = { mirroredRegistries: [], registryFilters: settings.registryFilters };
    this.#hosts = new Set(settings.mirroredRegistries.map(withoutPort));
    const texts = [
      ...settings.mirroredRegistries,
      ...settings.registryFilters.map(({ source }) => source),
    ];
    const ports = texts.flatMap((text) => [...text.matchAll(/:\d{1,5}/g)].map(([port]) => port));
    this.#ports = ['', ...new Set(ports)];
  }

  passes({ host, repository }: LabelSource): boolean {
    if (this.#hosts.size > 0 && !this.#hosts.has(host)) return false;
    const name = host.includes(':') ? `[${host}]` : host;
    return this.#ports.every((port) =>
      passes(this.#settings, { registry: `${name}${port}`, repository }),
    );
  }
}

/** `[::1]:5000` -> `::1`, `10.0.0.1:5000` -> `10.0.0.1`. */
function withoutPort(registry: string): string {
  return registry.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}
