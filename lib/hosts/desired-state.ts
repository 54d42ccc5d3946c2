import { join } from 'node:path';
import { absentDirectory, hasStuckDefault } from './administrators-state.ts';
import type { ConfigurationSettings } from './configuration-settings.ts';
import { DesiredDirectories } from './desired-directory.ts';
import type { DesiredState } from './plan.ts';
import { type CertsDState, type HiddenCopy, pathOf, type SearchPath } from './search-path.ts';
import { LeftAlone } from './toml/left-alone.ts';
import { DEFAULT_DIRECTORY, directoryNames, registryOfDirectory } from './toml/registry-name.ts';
import type {
  AdministratorsDirectory,
  AdministratorsState,
  DesiredDirectory,
} from './transaction/change.ts';

/**
 * The desired state of one directory of containerd's config_path, by the settings of
 * `spegel configuration`: which directories there are, and which of them get a mirror.
 */
export class DesiredMirrors implements DesiredState {
  readonly #settings: ConfigurationSettings;
  readonly #state: CertsDState;
  readonly #searchPath: SearchPath;
  readonly #directories: DesiredDirectories;
  /** By name, the directories that have to stand beside our `_default`. */
  #copies: ReadonlyMap<string, HiddenCopy>;
  /** Why there must be no `_default` of ours. */
  readonly #refusal: string | undefined;

  constructor(settings: ConfigurationSettings, state: CertsDState, searchPath: SearchPath) {
    this.#settings = settings;
    this.#state = state;
    this.#searchPath = searchPath;
    this.#directories = new DesiredDirectories(settings, state);
    const { isForAll, registries, excluded } = settings;
    const named = registries.map(({ host }) => host);
    this.#copies = this.#isHome ? searchPath.copies([...named, ...excluded], isForAll) : new Map();
    if (isForAll) this.#refusal = this.#refusalAtHome();
    const isWithout = this.#refusal !== undefined && !hasStuckDefault(state.administrators);
    if (isWithout && this.#isHome) this.#copies = searchPath.copies(named, false);
  }

  #refusalAtHome(): string | undefined {
    const { home } = this.#searchPath;
    if (home !== undefined && home !== this.#state) {
      return new DesiredMirrors(this.#settings, home, this.#searchPath).#refusal;
    }
    const directory = this.#administrators.get(DEFAULT_DIRECTORY);
    if (directory !== undefined && 'message' in directory && directory.isAbsent)
      return directory.message;
    return unreadableRefusal(this.#searchPath) ?? this.#copiesRefusal();
  }

  #copiesRefusal(): string | undefined {
    return copiesRefusal(this.#state, this.#copies, (directory) => {
      return this.#isMirrored(directory.registry)
        ? this.#own(directory)
        : this.#withoutMirror(directory);
    });
  }

  isConcerned(name: string): boolean {
    if (registryOfDirectory(name) === undefined) return true;
    if (!this.#isInForce(name)) return false;
    const { links } = this.#state.current.tree;
    const isDone = this.#isMirroredDirectory(links.get(name));
    return this.#isMirroredDirectory(name) && !isDone;
  }

  /** Whether this is the directory of config_path into which new directories go. */
  get #isHome(): boolean {
    return this.#searchPath.home === this.#state;
  }

  #isInForce(name: string): boolean {
    return this.#searchPath.isInForce(this.#state, name, this.#hasDefault);
  }

  get #hasDefault(): boolean {
    return this.#settings.isForAll && this.#refusal === undefined;
  }

  get #administrators(): AdministratorsState {
    return this.#state.administrators;
  }

  #isMirroredDirectory(name: string | undefined): boolean {
    const registry = name === undefined ? undefined : registryOfDirectory(name);
    return registry !== undefined && this.#isMirrored(registry);
  }

  #isMirrored(registry: string): boolean {
    const { excluded, isForAll, registries } = this.#settings;
    if (excluded.includes(registry)) return false;
    return isForAll || registries.some(({ host }) => host === registry);
  }

  /**
   * Directories that the desired state has and the disk has not: `_default`, those of the named
   * registries, and those of excluded registries, which would get the mirror by `_default`.
   */
  missing(): AdministratorsDirectory[] {
    if (!this.#isHome) return [];
    const { excluded, isForAll, registries } = this.#settings;
    const hosts = [...registries.map(({ host }) => host), ...(isForAll ? excluded : [])];
    const names = hosts.flatMap((host) => this.#missingName(host) ?? []);
    if (isForAll && !this.#administrators.has(DEFAULT_DIRECTORY)) names.push(DEFAULT_DIRECTORY);
    names.push(...[...this.#copies.keys()].filter((name) => !this.#administrators.has(name)));
    return [...new Set(names)].map(absentDirectory);
  }

  #missingName(host: string): string | undefined {
    if (this.#searchPath.has(host, this.#hasDefault)) return undefined;
    const names = directoryNames(host);
    return names.some((name) => this.#administrators.has(name)) ? undefined : names.at(-1);
  }

  desiredDirectory(found: AdministratorsDirectory): DesiredDirectory | undefined {
    const copy = this.#copies.get(found.name);
    const directory = copy === undefined ? found : { ...found, registry: copy.registry };
    // Two files of the administrator's claim this name. The plan reports it, a person has to
    // choose.
    if (directory.displaced !== undefined) return undefined;
    if (copy === undefined && !this.#isInForce(directory.name)) return undefined;
    const isOwnDirectory =
      directory.isOurDirectory && (directory.file === undefined || directory.isOurs);
    const isOwn = isOwnDirectory && directory.name !== DEFAULT_DIRECTORY;
    if (this.#isHome && !directory.exists) this.#refuseHiding(directory, isOwn);
    if (this.#isMirrored(directory.registry)) return this.#mirrored(directory, isOwn);
    const needsShelter =
      this.#isExcluded(directory) && isOwn && this.#isHome && this.#isDefaultMirrored();
    return needsShelter ? this.#withoutMirror(directory) : undefined;
  }

  /** Of a registry that is mirrored. `isOwn`: the directory would not be there without us. */
  #mirrored(directory: AdministratorsDirectory, isOwn: boolean): DesiredDirectory | undefined {
    const isThere = directory.exists || (this.#isHome && !isOwn);
    const isMadeByUs = this.#isNamed(directory) || this.#copies.has(directory.name);
    if (isOwn && isMadeByUs && this.#isHome) return this.#own(directory);
    return isThere ? this.#directories.mirrored(directory) : undefined;
  }

  #refuseHiding(directory: AdministratorsDirectory, isOwn: boolean): void {
    const isDefault = directory.name === DEFAULT_DIRECTORY && this.#settings.isForAll;
    if (isDefault && this.#refusal !== undefined) throw new LeftAlone(this.#refusal);
    const isNamed = isOwn && this.#isNamed(directory);
    const refusal = isNamed ? unreadableRefusal(this.#searchPath) : undefined;
    if (refusal !== undefined) throw new LeftAlone(refusal);
  }

  /**
   * Whether `_default` gives a mirror, so that an excluded registry needs a directory against it.
   */
  #isDefaultMirrored(): boolean {
    if (hasStuckDefault(this.#administrators)) return true;
    const directory = this.#administrators.get(DEFAULT_DIRECTORY);
    if (directory === undefined || 'message' in directory) return false;
    if (!directory.exists && this.#refusal !== undefined) return false;
    try {
      return this.#directories.mirrored(directory).exists;
    } catch (error) {
      if (error instanceof LeftAlone) return false;
      throw error;
    }
  }

  #isNamed({ registry }: AdministratorsDirectory): boolean {
    return this.#settings.registries.some(({ host }) => host === registry);
  }

  #isExcluded({ registry }: AdministratorsDirectory): boolean {
    return this.#settings.isForAll && this.#settings.excluded.includes(registry);
  }

  #own(directory: AdministratorsDirectory): DesiredDirectory {
    return this.#directories.own(directory, this.#copies.get(directory.name));
  }

  #withoutMirror(directory: AdministratorsDirectory): DesiredDirectory {
    return this.#directories.withoutMirror(directory, this.#copies.get(directory.name));
  }
}

/**
 * Why no new directory must be made in front of one that could not be read; undefined: it may be.
 */
function unreadableRefusal({ unread }: SearchPath): string | undefined {
  if (unread === undefined) return undefined;
  const { path, reason } = unread;
  return `it would hide what may be in ${path}, which cannot be read (${reason}); mend that and run this again`;
}

/**
 * Why there must be no `_default` of ours: it would hide a directory, and the copy of that
 * directory beside it cannot be made. Undefined: there may be one.
 */
function copiesRefusal(
  { current, administrators }: CertsDState,
  copies: ReadonlyMap<string, HiddenCopy>,
  desiredOf: (directory: AdministratorsDirectory) => DesiredDirectory,
): string | undefined {
  for (const [name, { registry, source }] of copies) {
    const directory = administrators.get(name) ?? absentDirectory(name);
    try {
      if ('message' in directory) throw new LeftAlone(directory.message);
      desiredOf({ ...directory, registry });
    } catch (error) {
      if (!(error instanceof LeftAlone)) throw error;
      const hidden = source === undefined ? `what is made for ${registry}` : pathOf(source);
      const state = join(current.root, name);
      return `it would hide ${hidden} from containerd or nerdctl, and ${state}, which is to say the same, cannot be: ${error.message}`;
    }
  }
  return undefined;
}
