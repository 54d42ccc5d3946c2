import { join } from 'node:path';
import { copiesRefusal, refuseNerdctlOnly, unreadableRefusal } from './default-refusal.ts';
import { desiredDirectory, type FileOptions } from './desired-file.ts';
import { defaultFallback, type Fallback, fallbackFrom, lostCertificates } from './fallback.ts';
import { refuseActivation } from './ignored-keys.ts';
import { absentDirectory, type DesiredState, hasStuckDefault } from './plan.ts';
import type { CertsDState, HiddenCopy, SearchPath } from './search-path.ts';
import { hostTables, type MirrorBlockSettings, registryLines, sumOf } from './toml/block.ts';
import { type Addition, ownFile, ownFileOrCopy, registryPart, withBlock } from './toml/edit.ts';
import {
  DEFAULT_DIRECTORY,
  directoryNames,
  registryOfDirectory,
  serverUrl,
} from './toml/registry-name.ts';
import { LeftAlone, meaningOf } from './toml/semantics.ts';
import { warningsOf } from './toml/warnings.ts';
import type {
  AdministratorsDirectory,
  AdministratorsState,
  DesiredDirectory,
} from './transaction/change.ts';
import { MAX_FILE_BYTES } from './transaction/read-tree.ts';

/** A registry that was named, and its URL where that was given with a scheme. */
export interface MirroredRegistry {
  readonly host: string;
  readonly url: string | undefined;
}

export interface ConfigurationSettings extends MirrorBlockSettings {
  /** Every registry is mirrored, also those that are not named. */
  readonly isForAll: boolean;
  readonly registries: readonly MirroredRegistry[];
  /** Hosts of registries that are not mirrored. */
  readonly excluded: readonly string[];
  /** Those of them that were named by a URL with http. */
  readonly excludedHttp?: readonly string[];
  /** Existing hosts stay, behind ours; false: existing files are set aside. */
  readonly prependExisting: boolean;
  /** True: no containerd before 2.0 reads the files. Undefined: one may. */
  readonly isContainerd2?: boolean | undefined;
}

/** What `spegel configuration` wants of one directory of containerd's config_path. */
export class DesiredMirrors implements DesiredState {
  readonly #settings: ConfigurationSettings;
  readonly #place: CertsDState;
  readonly #searchPath: SearchPath;
  readonly #hosts: string;
  readonly #covers: ReadonlyMap<string, HiddenCopy>;
  /** Why there must be no `_default` of ours. */
  readonly #refusal: string | undefined;

  constructor(settings: ConfigurationSettings, place: CertsDState, searchPath: SearchPath) {
    this.#settings = settings;
    this.#place = place;
    this.#searchPath = searchPath;
    this.#hosts = hostTables(settings);
    const { isForAll, registries, excluded } = settings;
    const own = [...registries.map(({ host }) => host), ...excluded];
    const isHome = searchPath.home === place;
    this.#covers = isHome ? searchPath.covers(own, isForAll) : new Map();
    if (isForAll) this.#refusal = this.#refusalAtHome();
    const isWithout = this.#refusal !== undefined && !hasStuckDefault(place.views);
    if (isWithout && isHome) {
      this.#covers = searchPath.covers(
        registries.map(({ host }) => host),
        false,
      );
    }
  }

  #refusalAtHome(): string | undefined {
    const { home } = this.#searchPath;
    if (home !== undefined && home !== this.#place) {
      return new DesiredMirrors(this.#settings, home, this.#searchPath).#refusal;
    }
    const view = this.#views.get(DEFAULT_DIRECTORY);
    if (view !== undefined && 'message' in view && view.isAbsent) return view.message;
    return unreadableRefusal(this.#searchPath) ?? this.#copiesRefusal();
  }

  #copiesRefusal(): string | undefined {
    return copiesRefusal(this.#place, this.#covers, (view) => {
      return this.#isMirrored(view.registry) ? this.#ownDirectory(view) : this.#shielded(view);
    });
  }

  isConcerned(name: string): boolean {
    if (registryOfDirectory(name) === undefined) return true;
    if (!this.#isInForce(name)) return false;
    const { links } = this.#place.state.tree;
    const isDone = this.#isMirroredDirectory(links.get(name));
    return this.#isMirroredDirectory(name) && !isDone;
  }

  #isInForce(name: string): boolean {
    return this.#searchPath.isInForce(this.#place, name, this.#hasDefault);
  }

  get #hasDefault(): boolean {
    return this.#settings.isForAll && this.#refusal === undefined;
  }

  get #views(): AdministratorsState {
    return this.#place.views;
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
   * Directories that have to be there beside those that are: that of all registries, those of the named ones,
   * and those of excluded ones, which would get the mirror by `_default` otherwise.
   */
  missing(): AdministratorsDirectory[] {
    if (this.#searchPath.home !== this.#place) return [];
    const { excluded, isForAll, registries } = this.#settings;
    const hosts = [...registries.map(({ host }) => host), ...(isForAll ? excluded : [])];
    const names = hosts.flatMap((host) => this.#missingName(host) ?? []);
    if (isForAll && !this.#views.has(DEFAULT_DIRECTORY)) names.push(DEFAULT_DIRECTORY);
    names.push(...[...this.#covers.keys()].filter((name) => !this.#views.has(name)));
    return [...new Set(names)].map(absentDirectory);
  }

  #missingName(host: string): string | undefined {
    if (this.#searchPath.has(host, this.#hasDefault)) return undefined;
    const names = directoryNames(host);
    return names.some((name) => this.#views.has(name)) ? undefined : names.at(-1);
  }

  wish(found: AdministratorsDirectory): DesiredDirectory | undefined {
    const cover = this.#covers.get(found.name);
    const view = cover === undefined ? found : { ...found, registry: cover.registry };
    // Two files of the administrator's want this place: he is told, and has to choose.
    if (view.displaced !== undefined) return undefined;
    if (cover === undefined && !this.#isInForce(view.name)) return undefined;
    const isOwnDirectory = view.isOurDirectory && (view.file === undefined || view.isOurs);
    const isOwn = isOwnDirectory && view.name !== DEFAULT_DIRECTORY;
    const isHome = this.#searchPath.home === this.#place;
    if (isHome && !view.exists) this.#refuseHiding(view, isOwn);
    if (this.#isMirrored(view.registry)) {
      if (!isOwn) return view.exists || isHome ? this.#mirrored(view) : undefined;
      const isMade = this.#named(view) !== undefined || cover !== undefined;
      if (isMade && isHome) return this.#ownDirectory(view);
      return view.exists ? this.#mirrored(view) : undefined;
    }
    const isShielded = this.#isExcluded(view) && isOwn && isHome && this.#isDefaultMirrored();
    return isShielded ? this.#shielded(view) : undefined;
  }

  #refuseHiding({ name, registry }: AdministratorsDirectory, isOwn: boolean): void {
    const isDefault = name === DEFAULT_DIRECTORY && this.#settings.isForAll;
    if (isDefault && this.#refusal !== undefined) throw new LeftAlone(this.#refusal);
    const isNamed = this.#settings.registries.some(({ host }) => host === registry);
    const refusal = isOwn && isNamed ? unreadableRefusal(this.#searchPath) : undefined;
    if (refusal !== undefined) throw new LeftAlone(refusal);
  }

  /** Without a mirror in it there is nothing to be shielded from. */
  #isDefaultMirrored(): boolean {
    if (hasStuckDefault(this.#views)) return true;
    const view = this.#views.get(DEFAULT_DIRECTORY);
    if (view === undefined || 'message' in view) return false;
    if (!view.exists && this.#refusal !== undefined) return false;
    try {
      return this.#mirrored(view).exists;
    } catch (error) {
      if (error instanceof LeftAlone) return false;
      throw error;
    }
  }

  #isExcluded({ registry }: AdministratorsDirectory): boolean {
    return this.#settings.isForAll && this.#settings.excluded.includes(registry);
  }

  #mirrored(view: AdministratorsDirectory): DesiredDirectory {
    if (view.file === undefined || view.isOurs) {
      const root = this.#registryLines(view, '');
      return this.#file(view, withBlock('', { root, hosts: this.#hosts }));
    }
    const { text } = view.file;
    if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
      throw new LeftAlone(`expected at most ${MAX_FILE_BYTES} bytes, got more`);
    }
    this.#refuseActivation(view, text);
    if (!this.#settings.prependExisting) {
      // Who names the registry by its URL has said what it is; else the file still does.
      const part = registryPart(text);
      const base = this.#named(view)?.url === undefined ? part : '';
      const addition = { root: this.#registryLines(view, base), hosts: this.#hosts };
      return this.#file(view, ownFile(base, addition), { setAside: sumOf(text) });
    }
    const addition = { root: this.#registryLines(view, text), hosts: this.#hosts };
    return { ...this.#file(view, withBlock(text, addition)), warnings: warningsOf(text) };
  }

  #refuseActivation(view: AdministratorsDirectory, text: string): void {
    if (this.#settings.isContainerd2 === true) return;
    const directory = join(this.#place.state.root, view.name);
    refuseActivation(meaningOf(text), { ...view, directory }, this.#named(view)?.url);
  }

  /** What a file has to say of the registry itself, beside what its text says of that already. */
  #registryLines(view: AdministratorsDirectory, text: string): string {
    const { root, hosts } = meaningOf(text);
    const isPlain = this.#named(view)?.url?.startsWith('http://') === true;
    const needsServer = !('server' in root) && (text === '' || isPlain);
    const server = needsServer ? serverUrl(view.registry, this.#named(view)?.url) : undefined;
    return registryLines({ server, ...(hosts === undefined ? lostCertificates(view, root) : {}) });
  }

  #named({ registry }: AdministratorsDirectory): MirroredRegistry | undefined {
    return this.#settings.registries.find(({ host }) => host === registry);
  }

  /** A new directory hides `_default` from containerd: what that says has to be in the new file as well. */
  #ownDirectory(view: AdministratorsDirectory): DesiredDirectory {
    const fallback = this.#fallback(view);
    const root = this.#ownLines(view, fallback);
    return this.#file(view, this.#ownText(view, fallback, { root, hosts: this.#hosts }), fallback);
  }

  #ownText({ name }: AdministratorsDirectory, { text }: Fallback, addition: Addition): string {
    const isCover = this.#covers.get(name)?.source !== undefined;
    return isCover ? ownFileOrCopy(text, addition) : ownFile(text, addition);
  }

  #fallback(view: AdministratorsDirectory): Fallback {
    const cover = this.#covers.get(view.name);
    if (cover?.source !== undefined) return refuseNerdctlOnly(cover, fallbackFrom(cover.source));
    const fallback = defaultFallback(this.#place);
    const { text, certificates } = fallback;
    this.#refuseActivation({ ...view, name: DEFAULT_DIRECTORY, certificates }, text);
    return fallback;
  }

  #ownLines(view: AdministratorsDirectory, { root, lost, directory }: Fallback): string {
    const absolute = (name: string) => join(directory, name);
    const given = this.#isPlainHttp(view) ? `http://${view.registry}` : this.#named(view)?.url;
    return registryLines({
      server: 'server' in root ? undefined : serverUrl(view.registry, given),
      ca: lost.ca?.map(absolute),
      client: lost.client?.map(([cert, key]) => [absolute(cert), absolute(key)] as const),
    });
  }

  /** A directory for an excluded registry: with what it got from `_default`, and without the mirror. */
  #shielded(view: AdministratorsDirectory): DesiredDirectory {
    const fallback = this.#fallback(view);
    const { text, hasHosts, lost } = fallback;
    const isPlain = this.#isPlainHttp(view);
    if (hasHosts) {
      const root = isPlain ? this.#ownLines(view, { ...fallback, lost: {} }) : '';
      return this.#file(view, this.#ownText(view, fallback, { root, hosts: '' }), fallback);
    }
    if (text === '' && !lost.ca?.length && !lost.client?.length && !isPlain) {
      return { exists: true, file: view.file, entry: undefined };
    }
    // Without any `host`, containerd before 2.0 rejects a file.
    const addition = { root: this.#ownLines(view, fallback), hosts: '[host]\n' };
    return this.#file(view, this.#ownText(view, fallback, addition), fallback);
  }

  #isPlainHttp({ registry }: AdministratorsDirectory): boolean {
    return this.#settings.excludedHttp?.includes(registry) ?? false;
  }

  #file(view: AdministratorsDirectory, own: string, options: FileOptions = {}): DesiredDirectory {
    return desiredDirectory(view, own, this.#settings, options);
  }
}
