import { codeOf, SpegelError } from '../base/errors.ts';
import { type HostsOutcome, joined } from './outcome.ts';
import { NERDCTL_PATHS, type UnreadableDirectory } from './search-path.ts';
import { CertsD } from './transaction/certs-d.ts';
import type { Disk } from './transaction/disk.ts';
import { withoutPath } from './transaction/disk-errors.ts';

/** Why one directory could not be read or written. */
interface Failure {
  readonly path: string;
  readonly error: SpegelError;
}

/**
 * The directories of containerd's config_path in one run: one that fails does not stop the others.
 */
export class HostsDirectories {
  /** In containerd's order, each once: one path may be a link to another. */
  readonly listed: readonly CertsD[];
  /**
   * All directories in which containerd and nerdctl look, in their order. A directory that is
   * listed twice is the same object twice.
   */
  readonly searched: {
    readonly listed: readonly (CertsD | UnreadableDirectory)[];
    readonly nerdctl: readonly (CertsD | UnreadableDirectory)[];
  };
  readonly #disk: Disk;
  readonly #failures: Failure[] = [];

  constructor(hostsPaths: readonly string[], disk: Disk, nerdctlPaths = NERDCTL_PATHS) {
    this.#disk = disk;
    this.listed = this.#openAll(hostsPaths);
    const searched = (path: string) => this.#openToRead(path) ?? [];
    this.searched = {
      listed: hostsPaths.flatMap(searched),
      nerdctl: nerdctlPaths.flatMap(searched),
    };
  }

  #openToRead(path: string): CertsD | UnreadableDirectory | undefined {
    try {
      const certsD = new CertsD(path, this.#disk);
      return this.listed.find(({ root }) => root === certsD.root) ?? certsD;
    } catch (error) {
      return unreadOf(path, error);
    }
  }

  #openAll(paths: readonly string[]): CertsD[] {
    const all = paths.flatMap(
      (path) => this.#tryOpen(path, () => new CertsD(path, this.#disk)) ?? [],
    );
    return [...new Map(all.map((certsD) => [certsD.root, certsD])).values()];
  }

  /** Directories that are no longer listed and may hold something of the last run. */
  former(further: readonly string[]): CertsD[] {
    const told = this.listed.flatMap((certsD) => {
      try {
        return certsD.journal().hostsPaths;
      } catch (error) {
        if (!(error instanceof SpegelError)) throw error;
        // The run over this directory meets the same error, and reports it.
        return [];
      }
    });
    const listed = this.listed.map(({ root }) => root);
    return this.#openAll([...told, ...further]).filter(({ root }) => !listed.includes(root));
  }

  /** The paths for the journals: all listed directories and these. Empty for a single directory. */
  listWith(others: readonly CertsD[]): string[] {
    const paths = [...this.listed, ...others].map(({ root }) => root);
    return paths.length > 1 ? paths : [];
  }

  /**
   * Does the work in each directory, one after the other. Rejects with an error that does not
   * concern one directory alone.
   */
  async inTurn(
    certsDs: readonly CertsD[],
    work: (certsD: CertsD) => Promise<HostsOutcome>,
  ): Promise<{ readonly outcome: HostsOutcome; readonly failed: readonly CertsD[] }> {
    const outcomes = new Map<CertsD, HostsOutcome>();
    for (const certsD of certsDs) {
      try {
        outcomes.set(certsD, await work(certsD));
      } catch (error) {
        this.#fail(certsD.root, error);
      }
    }
    const inOrder = [...this.listed, ...certsDs].flatMap((certsD) => {
      const outcome = outcomes.get(certsD);
      outcomes.delete(certsD);
      return outcome ?? [];
    });
    const failed = certsDs.filter(({ root }) => this.#failures.some(({ path }) => path === root));
    return { outcome: joined(...inOrder), failed };
  }

  #tryOpen<T>(path: string, work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.#fail(path, error);
      return undefined;
    }
  }

  #fail(path: string, error: unknown): void {
    if (!(error instanceof SpegelError) || error.code !== 'ERR_HOSTS') throw error;
    this.#failures.push({ path, error });
  }

  /**
   * The outcomes, with the failed directories as problems. Throws the first failure when the work
   * failed in every listed directory.
   */
  outcome(...outcomes: readonly HostsOutcome[]): HostsOutcome {
    const order = this.listed.map(({ root }) => root);
    const failures = this.#failures.toSorted(
      (a, b) => order.indexOf(a.path) - order.indexOf(b.path),
    );
    const isDone = order.some((root) => failures.every(({ path }) => path !== root));
    if (failures[0] !== undefined && !isDone) throw failures[0].error;
    const problems = failures.map(({ path, error }) => {
      return { path, message: withoutPath(error.message, path) };
    });
    return joined(...outcomes, { changes: [], problems, warnings: [], inForce: [] });
  }
}

/**
 * Why a directory could not be read. Undefined where the path is no directory, in which nothing can
 * be.
 */
export function unreadOf(path: string, error: unknown): UnreadableDirectory | undefined {
  if (!(error instanceof SpegelError)) throw error;
  if (codeOf(error.cause) === 'ENOTDIR') return undefined;
  return { path, reason: withoutPath(error.message, path) };
}
