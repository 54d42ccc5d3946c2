import type { State, View, Views } from './plan.ts';
import type { Obstacle } from './read-tree.ts';
import { DEFAULT_DIRECTORY, registryOfDirectory } from './registry-host.ts';

/** One directory of containerd's config_path, with what would be in it without us. */
export interface Place {
  readonly state: State;
  readonly views: Map<string, View | Obstacle>;
}

/**
 * containerd's config_path. For a registry containerd goes through the directories in turn and
 * looks in each for that registry's own, then for `_default`: the first that exists counts, and
 * hides all behind it. A `_default` in the first directory hides every registry of the second.
 */
export class SearchPath {
  readonly #places: readonly Place[];

  /** In containerd's order; at least one. */
  constructor(places: readonly Place[]) {
    this.#places = places;
  }

  /**
   * Where what is new is written: beside the `_default` that is in force; without one in the last
   * directory that exists, where a `_default` hides nothing.
   */
  get home(): Place | undefined {
    const inForce = this.#places.find(({ views }) => isThere(views, DEFAULT_DIRECTORY));
    return inForce ?? this.#places.findLast(({ state }) => state.exists) ?? this.#places[0];
  }

  /** Whether containerd comes to this directory of `place`, or finds another one before. */
  isInForce(place: Place, name: string): boolean {
    const registry = registryOfDirectory(name) ?? name;
    const before = this.#places.slice(0, this.#places.indexOf(place));
    return !before.some(({ views }) => {
      return hasRegistry(views, registry) || isThere(views, DEFAULT_DIRECTORY);
    });
  }

  /** Whether a directory of the registry's own is in force, or something that is in its place. */
  has(registry: string): boolean {
    return this.#places.some((place) => {
      return hasRegistry(place.views, registry) && this.isInForce(place, registry);
    });
  }
}

function hasRegistry(views: Views, registry: string): boolean {
  return [...views.keys()].some((name) => {
    return registryOfDirectory(name) === registry && isThere(views, name);
  });
}

/** Without us: what we made does not count, and what is in the way does. */
function isThere(views: Views, name: string): boolean {
  const view = views.get(name);
  return view !== undefined && ('message' in view || view.exists);
}
