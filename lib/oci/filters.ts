import type { Reference } from './reference.ts';

/** Tests names as a regular expression without the flags g and y does. */
export interface NamePattern {
  readonly source: string;
  test(name: string): boolean;
}

/** Which registries and names are shared with peers, and mirrored from them. */
export interface FilterSettings {
  /** Hosts of the registries that are mirrored, in lower case. Empty for all. */
  readonly mirroredRegistries: readonly string[];
  /** Names that match any of these are neither shared nor mirrored. */
  readonly registryFilters: readonly NamePattern[];
}

/**
 * True if the registry is mirrored and no filter matches the name. A tag is tested as
 * `<registry>/<repository>:<tag>`, other content as `<registry>/<repository>`. So `:latest$`
 * filters the tag, but not the content under its digest.
 */
export function passes(
  settings: FilterSettings,
  name: Pick<Reference, 'registry' | 'repository'> & { readonly tag?: string | undefined },
): boolean {
  const { mirroredRegistries, registryFilters } = settings;
  const host = name.registry.toLowerCase();
  if (mirroredRegistries.length > 0 && !mirroredRegistries.includes(host)) return false;
  const repository = `${name.registry}/${name.repository}`;
  const text = name.tag === undefined ? repository : `${repository}:${name.tag}`;
  return !registryFilters.some((filter) => filter.test(text));
}
