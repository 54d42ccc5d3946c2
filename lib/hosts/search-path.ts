import { join } from 'node:path';
import { hasStuckDefault } from './administrators-state.ts';
import { DEFAULT_DIRECTORY, directoryNames, registryOfDirectory } from './toml/registry-name.ts';
import type { AdministratorsDirectory, CurrentState } from './transaction/change.ts';
import type { Obstacle } from './transaction/read-tree.ts';

/** One directory of containerd's config_path: what is in it, and what would be in it without us. */
export interface CertsDState {
  readonly current: CurrentState;
  readonly administrators: Map<string, AdministratorsDirectory | Obstacle>;
}

/** A directory that could not be read. It may hold a directory of any registry. */
export interface UnreadableDirectory {
  readonly path: string;
  readonly reason: string;
}

/** Where nerdctl looks by default, in this order, whatever containerd's config_path is. */
export const NERDCTL_PATHS: readonly string[] = ['/etc/containerd/certs.d', '/etc/docker/certs.d'];

/** A directory of ours that repeats another one, which a `_default` of ours would hide. */
export interface HiddenCopy {
  readonly registry: string;
  /** The hidden directory; undefined: what `_default` says without us. */
  readonly source: { readonly state: CertsDState; readonly name: string } | undefined;
  /** True: only nerdctl finds the hidden directory, and the copy would show it to containerd. */
  readonly isForeign?: boolean;
  /** True: containerd finds another directory than nerdctl. */
  readonly isDisputed?: boolean;
}

/** How a program looks for a registry's directory: in which directories, and by which names. */
interface Searcher {
  readonly states: readonly (CertsDState | UnreadableDirectory)[];
  readonly keys: (registry: string) => readonly string[];
}

/**
 * containerd's config_path. For a registry containerd goes through the directories in turn and
 * looks in each for the registry's own directory, then for `_default`. The first that exists counts
 * and hides all behind it. A `_default` in the first directory hides every registry of the second.
 */
export class SearchPath {
  readonly #listed: readonly CertsDState[];
  readonly #containerd: Searcher;
  readonly #searchers: readonly Searcher[];

  /** Both lists are in the order of the search. At least one directory of `listed` was read. */
  constructor(
    listed: readonly (CertsDState | UnreadableDirectory)[],
    nerdctl: readonly (CertsDState | UnreadableDirectory)[] = [],
  ) {
    this.#listed = listed.filter(isRead);
    this.#containerd = { states: listed, keys: (registry) => [registry] };
    this.#searchers = [this.#containerd, { states: nerdctl, keys: nerdctlKeys }];
  }

  /**
   * The directory in which new directories are made: the one with the `_default` in force. Without
   * a `_default` it is the last directory that exists, where a `_default` hides nothing.
   */
  get home(): CertsDState | undefined {
    const inForce = this.#listed.find(({ administrators }) =>
      isThere(administrators, DEFAULT_DIRECTORY),
    );
    const existing = this.#listed.filter(({ current }) => current.exists);
    const own = existing.findLast(({ current }) => !current.isReadByDocker);
    return inForce ?? own ?? existing.at(-1) ?? this.#listed[0];
  }

  /**
   * Whether containerd reaches this directory of `state`, or finds another one before.
   * `hasDefault`: we put a `_default` into `home`.
   */
  isInForce(state: CertsDState, name: string, hasDefault: boolean): boolean {
    const registry = keyOf(name);
    const index = this.#listed.indexOf(state);
    const { home } = this;
    if (hasDefault && home !== undefined && index > this.#listed.indexOf(home)) return false;
    return !this.#listed.slice(0, index).some(({ administrators }) => {
      return hasRegistry(administrators, registry) || isThere(administrators, DEFAULT_DIRECTORY);
    });
  }

  /** Whether a directory of the registry's own, or an obstacle of that name, is in force. */
  has(registry: string, hasDefault: boolean): boolean {
    return this.#listed.some((state) => {
      return (
        hasRegistry(state.administrators, registry) && this.isInForce(state, registry, hasDefault)
      );
    });
  }

  #isForeign(registry: string, name: string, source: FoundAt): boolean {
    const theirs = firstFound(this.#containerd, registry);
    if (theirs !== undefined && isSameFind(theirs, source)) return false;
    // A directory that is found earlier stays in force beside ours.
    const before = firstFound(this.#containerd, keyOf(name));
    const isBefore = before !== undefined && before.name !== DEFAULT_DIRECTORY;
    return (
      !isBefore ||
      this.#listed.indexOf(before.state) > this.#listed.indexOf(this.home as CertsDState)
    );
  }

  /** A directory that could not be read and that a new directory in `home` would hide. */
  get unread(): UnreadableDirectory | undefined {
    const { home } = this;
    for (const { states } of this.#searchers) {
      const index = home === undefined ? -1 : states.indexOf(home);
      const before = states.slice(0, index + 1).filter(isRead);
      const isHidden = before.some(({ administrators }) => hasOthersDefault(administrators));
      const behind = states.slice(index + 1).find((state) => !isRead(state));
      if (index >= 0 && !isHidden && behind !== undefined) return behind as UnreadableDirectory;
    }
    return undefined;
  }

  /**
   * By name, the directories that have to stand beside a `_default` of ours so that containerd and
   * nerdctl find for every registry what they find without it. `own`: registries that get a
   * directory of ours anyhow; nerdctl must find that, too. Without `hasDefault` only those are
   * considered.
   */
  copies(own: readonly string[], hasDefault: boolean): Map<string, HiddenCopy> {
    const copies = new Map<string, HiddenCopy>();
    const { home } = this;
    if (home === undefined || hasOthersDefault(home.administrators)) return copies;
    for (const searcher of this.#searchers.filter(({ states }) => states.includes(home))) {
      for (const registry of hasDefault ? registriesIn(searcher.states) : own) {
        const source = firstFound(searcher, registry);
        const isSame =
          source !== undefined && isSameFind(source, firstFound(searcher, registry, home));
        if (source === undefined || source.name === DEFAULT_DIRECTORY || isSame) continue;
        // A directory that makes containerd fail without us needs no copy.
        if (isBroken(source)) continue;
        const keys = hasDefault ? searcher.keys(registry) : [registry];
        for (const name of missingNames(home, keys)) {
          const isForeign = this.#isForeign(registry, name, source);
          const other = copies.get(name)?.source;
          const isDisputed = other !== undefined && !isSameFind(other, source);
          copies.set(name, { registry: registry.toLowerCase(), source, isForeign, isDisputed });
        }
      }
      for (const registry of hasDefault ? own : []) {
        if (firstFound(searcher, registry) !== undefined) continue;
        const keys = searcher.keys(registry).filter((key) => key !== registry);
        for (const name of missingNames(home, keys)) {
          copies.set(name, { registry, source: undefined });
        }
      }
    }
    return copies;
  }
}

/**
 * The names by which nerdctl (2.0 and later) looks: it appends the port 443 to a registry without
 * one, and looks for the bare name only where it has found nothing, not even a `_default`. Docker
 * Hub is an exception.
 */
function nerdctlKeys(registry: string): string[] {
  const hasPort = /:\d+$/.test(registry) || registry === 'docker.io';
  return hasPort ? [registry] : [`${registry}:443`, registry];
}

type FoundAt = NonNullable<HiddenCopy['source']>;

/**
 * The first directory that the program finds. `further`: a state in which a `_default` stands
 * besides.
 */
function firstFound(
  { states, keys }: Searcher,
  registry: string,
  further?: CertsDState,
): FoundAt | undefined {
  for (const state of states.filter(isRead)) {
    for (const key of keys(registry)) {
      const own = directoryNames(key).find((name) => isThere(state.administrators, name));
      if (own !== undefined) return { state, name: own };
      const hasDefault = state === further || hasOthersDefault(state.administrators);
      if (hasDefault) return { state, name: DEFAULT_DIRECTORY };
    }
  }
  return undefined;
}

function isSameFind(a: FoundAt, b: FoundAt | undefined): boolean {
  return a.state === b?.state && a.name === b.name;
}

function missingNames({ administrators }: CertsDState, keys: readonly string[]): string[] {
  const missing = keys.filter(
    (key) => !directoryNames(key).some((name) => isThere(administrators, name)),
  );
  return missing.flatMap((key) => directoryNames(key).at(-1) ?? []);
}

function isBroken({ state, name }: FoundAt): boolean {
  const directory = state.administrators.get(name);
  return directory !== undefined && 'message' in directory && directory.isBroken === true;
}

function registriesIn(states: Searcher['states']): Set<string> {
  const names = states
    .filter(isRead)
    .flatMap(({ administrators }) =>
      [...administrators.keys()].filter((name) => isThere(administrators, name)),
    );
  const own = names.filter((name) => name !== DEFAULT_DIRECTORY);
  return new Set(own.filter((name) => registryOfDirectory(name) !== undefined).map(keyOf));
}

/**
 * The registry for which containerd comes to a directory of this name, in the letters of the name.
 */
function keyOf(name: string): string {
  return name.replace(/^(.*)_(\d+)_$/, '$1:$2');
}

function hasRegistry(administrators: CertsDState['administrators'], key: string): boolean {
  return directoryNames(key).some((name) => isThere(administrators, name));
}

/** Whether a directory is there without us. Those that we made do not count, and obstacles do. */
function isThere(administrators: CertsDState['administrators'], name: string): boolean {
  const directory = administrators.get(name);
  return (
    directory !== undefined &&
    ('message' in directory ? directory.isAbsent !== true : directory.exists)
  );
}

/** Whether a `_default` would be there without us. */
function hasOthersDefault(administrators: CertsDState['administrators']): boolean {
  return isThere(administrators, DEFAULT_DIRECTORY) && !hasStuckDefault(administrators);
}

function isRead(state: CertsDState | UnreadableDirectory): state is CertsDState {
  return 'current' in state;
}

/** Absolute path of a directory that was found. */
export function pathOf({ state, name }: FoundAt): string {
  return join(state.current.root, name);
}
