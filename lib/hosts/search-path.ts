import { join } from 'node:path';
import { hasStuckDefault } from './plan.ts';
import { DEFAULT_DIRECTORY, directoryNames, registryOfDirectory } from './toml/registry-name.ts';
import type { AdministratorsDirectory, CurrentState } from './transaction/change.ts';
import type { Obstacle } from './transaction/read-tree.ts';

/** One directory of containerd's config_path, with what would be in it without us. */
export interface CertsDState {
  readonly state: CurrentState;
  readonly views: Map<string, AdministratorsDirectory | Obstacle>;
}

/** One that could not be read: it may hold a directory of any registry. */
export interface UnreadableDirectory {
  readonly path: string;
  readonly reason: string;
}

/**
 * Where nerdctl looks unless told otherwise, in this order, whatever containerd's config_path is.
 */
export const NERDCTL_PATHS: readonly string[] = ['/etc/containerd/certs.d', '/etc/docker/certs.d'];

/** A directory of ours that says what another one says, which a `_default` of ours would hide. */
export interface HiddenCopy {
  readonly registry: string;
  /** The other one; undefined: what `_default` says without us. */
  readonly source: { readonly place: CertsDState; readonly name: string } | undefined;
  /** True: nerdctl alone finds that one; containerd would read it here for the first time. */
  readonly isForeign?: boolean;
  /** True: containerd finds another than nerdctl. */
  readonly isDisputed?: boolean;
}

/** How a program looks for a registry's directory: where, and by which names. */
interface Searcher {
  readonly places: readonly (CertsDState | UnreadableDirectory)[];
  readonly keys: (registry: string) => readonly string[];
}

/**
 * containerd's config_path. For a registry containerd goes through the directories in turn and
 * looks in each for that registry's own, then for `_default`: the first that exists counts, and
 * hides all behind it. A `_default` in the first directory hides every registry of the second.
 */
export class SearchPath {
  readonly #listed: readonly CertsDState[];
  readonly #containerd: Searcher;
  readonly #seekers: readonly Searcher[];

  /**
   * Both in the order in which they are looked through; `listed` has at least one that was read.
   */
  constructor(
    listed: readonly (CertsDState | UnreadableDirectory)[],
    nerdctl: readonly (CertsDState | UnreadableDirectory)[] = [],
  ) {
    this.#listed = listed.filter(isRead);
    this.#containerd = { places: listed, keys: (registry) => [registry] };
    this.#seekers = [this.#containerd, { places: nerdctl, keys: nerdctlKeys }];
  }

  /**
   * Where what is new is written: beside the `_default` that is in force; without one in the last
   * directory that exists, where a `_default` hides nothing.
   */
  get home(): CertsDState | undefined {
    const inForce = this.#listed.find(({ views }) => isThere(views, DEFAULT_DIRECTORY));
    const existing = this.#listed.filter(({ state }) => state.exists);
    const own = existing.findLast(({ state }) => !state.isReadByDocker);
    return inForce ?? own ?? existing.at(-1) ?? this.#listed[0];
  }

  /**
   * Whether containerd comes to this directory of `place`, or finds another one before.
   * `hasDefault`: we put a `_default` into `home`.
   */
  isInForce(place: CertsDState, name: string, hasDefault: boolean): boolean {
    const registry = keyOf(name);
    const index = this.#listed.indexOf(place);
    const { home } = this;
    if (hasDefault && home !== undefined && index > this.#listed.indexOf(home)) return false;
    return !this.#listed.slice(0, index).some(({ views }) => {
      return hasRegistry(views, registry) || isThere(views, DEFAULT_DIRECTORY);
    });
  }

  /** Whether a directory of the registry's own is in force, or something that is in its place. */
  has(registry: string, hasDefault: boolean): boolean {
    return this.#listed.some((place) => {
      return hasRegistry(place.views, registry) && this.isInForce(place, registry, hasDefault);
    });
  }

  #isForeign(registry: string, name: string, source: FoundAt): boolean {
    const theirs = found(this.#containerd, registry);
    if (theirs !== undefined && isSameFind(theirs, source)) return false;
    // What is found before, ours does not replace.
    const before = found(this.#containerd, keyOf(name));
    const isBefore = before !== undefined && before.name !== DEFAULT_DIRECTORY;
    return (
      !isBefore ||
      this.#listed.indexOf(before.place) > this.#listed.indexOf(this.home as CertsDState)
    );
  }

  /** One that could not be read, and in front of which a new directory in `home` would come. */
  get unread(): UnreadableDirectory | undefined {
    const { home } = this;
    for (const { places } of this.#seekers) {
      const index = home === undefined ? -1 : places.indexOf(home);
      const before = places.slice(0, index + 1).filter(isRead);
      const isHidden = before.some(({ views }) => hasOthersDefault(views));
      const behind = places.slice(index + 1).find((place) => !isRead(place));
      if (index >= 0 && !isHidden && behind !== undefined) return behind as UnreadableDirectory;
    }
    return undefined;
  }

  /**
   * By name, the directories that have to stand beside a `_default` of ours, so that containerd and
   * nerdctl find for every registry what they find without it. `own`: registries for which we make
   * a directory anyhow; nerdctl is to find that, too. Without `hasDefault` only those are in
   * question.
   */
  covers(own: readonly string[], hasDefault: boolean): Map<string, HiddenCopy> {
    const covers = new Map<string, HiddenCopy>();
    const { home } = this;
    if (home === undefined || hasOthersDefault(home.views)) return covers;
    for (const seeker of this.#seekers.filter(({ places }) => places.includes(home))) {
      for (const registry of hasDefault ? registriesIn(seeker.places) : own) {
        const source = found(seeker, registry);
        const isSame = source !== undefined && isSameFind(source, found(seeker, registry, home));
        if (source === undefined || source.name === DEFAULT_DIRECTORY || isSame) continue;
        // What fails without us needs nothing to go on.
        if (isBroken(source)) continue;
        const keys = hasDefault ? seeker.keys(registry) : [registry];
        for (const name of missingNames(home, keys)) {
          const isForeign = this.#isForeign(registry, name, source);
          const other = covers.get(name)?.source;
          const isDisputed = other !== undefined && !isSameFind(other, source);
          covers.set(name, { registry: registry.toLowerCase(), source, isForeign, isDisputed });
        }
      }
      for (const registry of hasDefault ? own : []) {
        if (found(seeker, registry) !== undefined) continue;
        const keys = seeker.keys(registry).filter((key) => key !== registry);
        for (const name of missingNames(home, keys)) {
          covers.set(name, { registry, source: undefined });
        }
      }
    }
    return covers;
  }
}

/**
 * nerdctl (2.0 and later) puts the port behind a registry that has none, and comes to the name
 * without it only where it has found nothing, not even a `_default`. Docker Hub is no such case.
 */
function nerdctlKeys(registry: string): string[] {
  const hasPort = /:\d+$/.test(registry) || registry === 'docker.io';
  return hasPort ? [registry] : [`${registry}:443`, registry];
}

type FoundAt = NonNullable<HiddenCopy['source']>;

/** What is found; `further`: where a `_default` stands besides. */
function found(
  { places, keys }: Searcher,
  registry: string,
  further?: CertsDState,
): FoundAt | undefined {
  for (const place of places.filter(isRead)) {
    for (const key of keys(registry)) {
      const own = directoryNames(key).find((name) => isThere(place.views, name));
      if (own !== undefined) return { place, name: own };
      const hasDefault = place === further || hasOthersDefault(place.views);
      if (hasDefault) return { place, name: DEFAULT_DIRECTORY };
    }
  }
  return undefined;
}

function isSameFind(a: FoundAt, b: FoundAt | undefined): boolean {
  return a.place === b?.place && a.name === b.name;
}

function missingNames({ views }: CertsDState, keys: readonly string[]): string[] {
  const missing = keys.filter((key) => !directoryNames(key).some((name) => isThere(views, name)));
  return missing.flatMap((key) => directoryNames(key).at(-1) ?? []);
}

function isBroken({ place, name }: FoundAt): boolean {
  const view = place.views.get(name);
  return view !== undefined && 'message' in view && view.isBroken === true;
}

function registriesIn(places: Searcher['places']): Set<string> {
  const names = places
    .filter(isRead)
    .flatMap(({ views }) => [...views.keys()].filter((name) => isThere(views, name)));
  const own = names.filter((name) => name !== DEFAULT_DIRECTORY);
  return new Set(own.filter((name) => registryOfDirectory(name) !== undefined).map(keyOf));
}

/**
 * What containerd looks for when it comes to a directory of this name: with letters as they are.
 */
function keyOf(name: string): string {
  return name.replace(/^(.*)_(\d+)_$/, '$1:$2');
}

function hasRegistry(views: CertsDState['views'], key: string): boolean {
  return directoryNames(key).some((name) => isThere(views, name));
}

/** Without us: what we made does not count, and what is in the way does. */
function isThere(views: CertsDState['views'], name: string): boolean {
  const view = views.get(name);
  return view !== undefined && ('message' in view ? view.isAbsent !== true : view.exists);
}

/** A `_default` that would be there without us. */
function hasOthersDefault(views: CertsDState['views']): boolean {
  return isThere(views, DEFAULT_DIRECTORY) && !hasStuckDefault(views);
}

function isRead(place: CertsDState | UnreadableDirectory): place is CertsDState {
  return 'state' in place;
}

/** Absolute path of a directory that was found. */
export function pathOf({ place, name }: FoundAt): string {
  return join(place.state.root, name);
}
