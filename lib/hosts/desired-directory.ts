import { join } from 'node:path';
import type { ConfigurationSettings, MirroredRegistry } from './configuration-settings.ts';
import {
  defaultFallback,
  type Fallback,
  fallbackFrom,
  lostCertificates,
  refuseNerdctlOnly,
} from './fallback.ts';
import { refuseActivation } from './ignored-keys.ts';
import type { CertsDState, HiddenCopy } from './search-path.ts';
import { findBlocks, hostTables, registryLines, sumOf } from './toml/block.ts';
import {
  type Addition,
  ownFile,
  ownFileOrCopy,
  registryPart,
  withAdministratorsLines,
  withBlock,
} from './toml/edit.ts';
import { LeftAlone } from './toml/left-alone.ts';
import { DEFAULT_DIRECTORY, serverUrl } from './toml/registry-name.ts';
import { meaningOf } from './toml/semantics.ts';
import { warningsOf } from './toml/warnings.ts';
import type { AdministratorsDirectory, DesiredDirectory } from './transaction/change.ts';
import { MAX_FILE_BYTES } from './transaction/constants.ts';
import type { JournalFile } from './transaction/journal.ts';

const PLAIN_MODE = 0o644;
/** Group and others must not read a file that holds credentials. */
const PRIVATE_BITS = 0o700;

interface FileOptions {
  /** Sum of the administrator's text, where our file replaces it. */
  readonly setAside?: string;
  /**
   * Mode of the file from which the text is copied; the copy must not be readable by more users.
   */
  readonly mode?: number | undefined;
}

/**
 * How one registry's directory is to be, with a mirror or without. All methods throw LeftAlone
 * where that cannot be.
 */
export class DesiredDirectories {
  readonly #settings: ConfigurationSettings;
  readonly #state: CertsDState;
  readonly #hosts: string;

  constructor(settings: ConfigurationSettings, state: CertsDState) {
    this.#settings = settings;
    this.#state = state;
    this.#hosts = hostTables(settings);
  }

  /** The directory with our block in its hosts.toml, or with a hosts.toml of ours. */
  mirrored(directory: AdministratorsDirectory): DesiredDirectory {
    if (directory.file === undefined || directory.isOurs) {
      const root = this.#registryLines(directory, '');
      return this.#withFile(directory, withBlock('', { root, hosts: this.#hosts }));
    }
    const { text } = directory.file;
    if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
      throw new LeftAlone(`expected at most ${MAX_FILE_BYTES} bytes, got more`);
    }
    this.#refuseActivation(directory, text);
    if (!this.#settings.prependExisting) {
      // A URL on the command line says what the registry is; without one the file still does.
      const part = registryPart(text);
      const base = this.#named(directory)?.url === undefined ? part : '';
      const addition = { root: this.#registryLines(directory, base), hosts: this.#hosts };
      return this.#withFile(directory, ownFile(base, addition), { setAside: sumOf(text) });
    }
    const addition = { root: this.#registryLines(directory, text), hosts: this.#hosts };
    return { ...this.#withFile(directory, withBlock(text, addition)), warnings: warningsOf(text) };
  }

  /**
   * A directory of ours with a mirror. It hides `_default` from containerd, so the new file also
   * says what `_default` says, or what the hidden directory says of which it is the copy.
   */
  own(directory: AdministratorsDirectory, copy: HiddenCopy | undefined): DesiredDirectory {
    const fallback = this.#fallback(directory, copy);
    const root = this.#ownLines(directory, fallback);
    const text = ownText(copy, fallback, { root, hosts: this.#hosts });
    return this.#withFile(directory, text, fallback);
  }

  /** A directory for an excluded registry: what `_default` gives it, without the mirror. */
  withoutMirror(
    directory: AdministratorsDirectory,
    copy: HiddenCopy | undefined,
  ): DesiredDirectory {
    const fallback = this.#fallback(directory, copy);
    const { text, hasHosts, lost } = fallback;
    const isPlain = this.#isPlainHttp(directory);
    if (hasHosts) {
      const root = isPlain ? this.#ownLines(directory, { ...fallback, lost: {} }) : '';
      return this.#withFile(directory, ownText(copy, fallback, { root, hosts: '' }), fallback);
    }
    if (text === '' && !lost.ca?.length && !lost.client?.length && !isPlain) {
      return { exists: true, file: directory.file, entry: undefined };
    }
    // Without any `host`, containerd before 2.0 rejects a file.
    const addition = { root: this.#ownLines(directory, fallback), hosts: '[host]\n' };
    return this.#withFile(directory, ownText(copy, fallback, addition), fallback);
  }

  #refuseActivation(directory: AdministratorsDirectory, text: string): void {
    if (this.#settings.isContainerd2 === true) return;
    const path = join(this.#state.current.root, directory.name);
    refuseActivation(meaningOf(text), { ...directory, path }, this.#named(directory)?.url);
  }

  /** The lines about the registry itself that the text lacks. */
  #registryLines(directory: AdministratorsDirectory, text: string): string {
    const { root, hosts } = meaningOf(text);
    const url = this.#named(directory)?.url;
    const isPlain = url?.startsWith('http://') === true;
    const needsServer = !('server' in root) && (text === '' || isPlain);
    const server = needsServer ? serverUrl(directory.registry, url) : undefined;
    const certificates = hosts === undefined ? lostCertificates(directory, root) : {};
    return registryLines({ server, ...certificates });
  }

  #named({ registry }: AdministratorsDirectory): MirroredRegistry | undefined {
    return this.#settings.registries.find(({ host }) => host === registry);
  }

  #fallback(directory: AdministratorsDirectory, copy: HiddenCopy | undefined): Fallback {
    if (copy?.source !== undefined) return refuseNerdctlOnly(copy, fallbackFrom(copy.source));
    const fallback = defaultFallback(this.#state);
    const { text, certificates } = fallback;
    this.#refuseActivation({ ...directory, name: DEFAULT_DIRECTORY, certificates }, text);
    return fallback;
  }

  #ownLines(directory: AdministratorsDirectory, { root, lost, path }: Fallback): string {
    const absolute = (name: string) => join(path, name);
    const isPlain = this.#isPlainHttp(directory);
    const given = isPlain ? `http://${directory.registry}` : this.#named(directory)?.url;
    return registryLines({
      server: 'server' in root ? undefined : serverUrl(directory.registry, given),
      ca: lost.ca?.map(absolute),
      client: lost.client?.map(([cert, key]) => [absolute(cert), absolute(key)] as const),
    });
  }

  #isPlainHttp({ registry }: AdministratorsDirectory): boolean {
    return this.#settings.excludedHttp?.includes(registry) ?? false;
  }

  /**
   * The directory with this text in its hosts.toml, behind it what the administrator wrote into a
   * file of ours.
   */
  #withFile(
    { file, isOurs }: AdministratorsDirectory,
    own: string,
    { setAside, mode: copiedMode }: FileOptions = {},
  ): DesiredDirectory {
    const { authorization, targets } = this.#settings;
    const text = isOurs ? withAdministratorsLines(own, file?.text ?? '') : own;
    const openMode = file?.mode ?? copiedMode ?? PLAIN_MODE;
    const mode = authorization === undefined ? openMode : openMode & PRIVATE_BITS;
    const body = findBlocks(text)?.[0]?.body ?? '';
    const mirrors = targets.filter((url) => body.includes(url));
    const hadMode = isOurs ? undefined : file?.mode;
    const entry: JournalFile = { body, mirrors, modes: [mode], hadMode, setAside };
    return { exists: true, file: { text, mode, owner: file?.owner }, entry };
  }
}

function ownText(copy: HiddenCopy | undefined, { text }: Fallback, addition: Addition): string {
  const isCopy = copy?.source !== undefined;
  return isCopy ? ownFileOrCopy(text, addition) : ownFile(text, addition);
}
