import type { Reference } from './reference.ts';

/** A test for names, as a regular expression is one without the flags g and y. */
export interface NamePattern {
  readonly source: string;
  test(name: string): boolean;
}

/** Which registries and names are shared and mirrored. Given by the administrator, the same for both ways. */
export interface FilterSettings {
  /** Registry hosts that are mirrored, in lower case; empty: all. */
  readonly mirroredRegistries: readonly string[];
  /** Names that match one are left out. */
  readonly registryFilters: readonly NamePattern[];
}

/**
 * True when a name passes: its registry is mirrored and no filter matches. A tag is tested as
 * `<registry>/<repository>:<tag>`, content without a tag as `<registry>/<repository>`; so `:latest$` leaves
 * out the tag and keeps the content under its digests.
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
