import { join } from 'node:path';
import { type Fallback, fallbackOf, lostCertificates } from './fallback.ts';
import { ownFile, withBlock } from './hosts-text.ts';
import type { JournalFile } from './journal.ts';
import { meaningOf } from './meaning.ts';
import {
  findBlocks,
  hostTables,
  type MirrorSettings,
  registryLines,
  sumOf,
} from './mirror-block.ts';
import { newView, type State, type View, type Views, type Wanted, type Wishes } from './plan.ts';
import {
  DEFAULT_DIRECTORY,
  directoryNames,
  registryOfDirectory,
  serverUrl,
} from './registry-host.ts';
import { warningsOf } from './warnings.ts';

/** A registry that was named, and its URL where that was given with a scheme. */
export interface MirroredRegistry {
  readonly host: string;
  readonly url: string | undefined;
}

export interface ConfigurationSettings extends MirrorSettings {
  /** Every registry is mirrored, also those that are not named. */
  readonly isForAll: boolean;
  readonly registries: readonly MirroredRegistry[];
  /** Hosts of registries that are not mirrored. */
  readonly excluded: readonly string[];
  /** Existing hosts stay, behind ours; false: existing files are set aside. */
  readonly prependExisting: boolean;
}

const PLAIN_MODE = 0o644;
/** Group and others must not read a file that holds credentials. */
const PRIVATE_BITS = 0o700;
const ALL_BITS = 0o7777;

/** What `spegel configuration` wants of a certs.d, directory by directory. */
export class MirrorWishes implements Wishes {
  readonly #settings: ConfigurationSettings;
  readonly #state: State;
  readonly #views: Views;
  readonly #hosts: string;

  constructor(settings: ConfigurationSettings, state: State, views: Views) {
    this.#settings = settings;
    this.#state = state;
    this.#views = views;
    this.#hosts = hostTables(settings);
  }

  isConcerned(name: string): boolean {
    const { links } = this.#state.tree;
    const isDone = this.#isMirroredDirectory(links.get(name));
    return this.#isMirroredDirectory(name) && !isDone;
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
  missing(): View[] {
    const { excluded, isForAll, registries } = this.#settings;
    const hosts = [...registries.map(({ host }) => host), ...(isForAll ? excluded : [])];
    const names = hosts.flatMap((host) => this.#missingName(host) ?? []);
    if (isForAll && !this.#views.has(DEFAULT_DIRECTORY)) names.push(DEFAULT_DIRECTORY);
    return [...new Set(names)].map(newView);
  }

  #missingName(host: string): string | undefined {
    const names = directoryNames(host);
    return names.some((name) => this.#views.has(name)) ? undefined : names.at(-1);
  }

  wish(view: View): Wanted | undefined {
    // Two files of the administrator's want this place: he is told, and has to choose.
    if (view.displaced !== undefined) return undefined;
    if (this.#isMirrored(view.registry)) return this.#mirrored(view);
    return this.#isExcluded(view) && !view.exists ? this.#shielded(view) : undefined;
  }

  #isExcluded({ registry }: View): boolean {
    return this.#settings.isForAll && this.#settings.excluded.includes(registry);
  }

  #mirrored(view: View): Wanted | undefined {
    if (!view.exists && view.name !== DEFAULT_DIRECTORY) {
      return this.#isNamed(view) ? this.#ownDirectory(view) : undefined;
    }
    const { prependExisting } = this.#settings;
    const isJoined = prependExisting && view.file !== undefined;
    const base = isJoined ? (view.file?.text ?? '') : '';
    const text = withBlock(base, { root: this.#registryLines(view, base), hosts: this.#hosts });
    const wanted = this.#file(view, text, { isSetAside: !prependExisting });
    return isJoined ? { ...wanted, warnings: warningsOf(base) } : wanted;
  }

  #isNamed({ registry }: View): boolean {
    return this.#settings.registries.some(({ host }) => host === registry);
  }

  #registryLines(view: View, base: string): string {
    const { root, hosts } = meaningOf(base);
    if (hosts !== undefined) return '';
    const server = base === '' ? this.#server(view.registry) : undefined;
    return registryLines({ server, ...lostCertificates(view, root) });
  }

  #server(registry: string): string | undefined {
    const named = this.#settings.registries.find(({ host }) => host === registry);
    return serverUrl(registry, named?.url);
  }

  /** A new directory hides `_default` from containerd: what that says has to be in the new file as well. */
  #ownDirectory(view: View): Wanted {
    const fallback = fallbackOf(this.#views);
    const root = this.#ownLines(view, fallback);
    return this.#file(view, ownFile(fallback.text, { root, hosts: this.#hosts }), fallback);
  }

  #ownLines(view: View, { root, lost }: Fallback): string {
    const absolute = (name: string) => join(this.#state.root, DEFAULT_DIRECTORY, name);
    return registryLines({
      server: 'server' in root ? undefined : this.#server(view.registry),
      ca: lost.ca?.map(absolute),
      client: lost.client?.map(([cert, key]) => [absolute(cert), absolute(key)] as const),
    });
  }

  /** A directory for an excluded registry: with what it got from `_default`, and without the mirror. */
  #shielded(view: View): Wanted {
    const fallback = fallbackOf(this.#views);
    const { text, hasHosts, lost } = fallback;
    if (hasHosts) return this.#file(view, ownFile(text, { root: '', hosts: '' }), fallback);
    if (text === '' && !lost.ca?.length && !lost.client?.length) {
      return { exists: true, file: undefined, entry: undefined };
    }
    // Without any `host`, containerd before 2.0 rejects a file.
    const addition = { root: this.#ownLines(view, fallback), hosts: '[host]\n' };
    return this.#file(view, ownFile(text, addition), fallback);
  }

  /** `mode`: of a file that is copied into a new one, which must not be read by more than that. */
  #file(
    view: View,
    text: string,
    { isSetAside = false, mode: copiedMode = PLAIN_MODE }: FileOptions,
  ): Wanted {
    const hadMode = view.file?.mode;
    const isPrivate = this.#settings.authorization !== undefined;
    const mode = (hadMode ?? copiedMode) & (isPrivate ? PRIVATE_BITS : ALL_BITS);
    const body = findBlocks(text)?.[0]?.body ?? '';
    const setAside = isSetAside && view.file !== undefined ? sumOf(view.file.text) : undefined;
    const { targets } = this.#settings;
    const mirrors = targets.filter((url) => body.includes(url));
    const entry: JournalFile = { body, mirrors, modes: [mode], hadMode, setAside };
    return { exists: true, file: { text, mode, owner: view.file?.owner }, entry };
  }
}

interface FileOptions {
  readonly isSetAside?: boolean;
  readonly mode?: number | undefined;
}
