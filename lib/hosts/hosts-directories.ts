import { codeOf, SpegelError } from '../base/errors.ts';
import { type HostsOutcome, joined } from './outcome.ts';
import { NERDCTL_PATHS, type UnreadableDirectory } from './search-path.ts';
import { CertsD } from './transaction/certs-d.ts';
import type { Disk } from './transaction/disk.ts';

/** What one directory could not be read or written for. */
interface Failure {
  readonly path: string;
  readonly error: SpegelError;
}

/**
 * The directories of containerd's config_path in one run: one that fails does not stop the others.
 */
export class HostsDirectories {
  /** In containerd's order, none twice: one may be a link to another. */
  readonly listed: readonly CertsD[];
  /**
   * All in which containerd and nerdctl look, in their order; the same directory, the same object.
   */
  readonly sought: {
    readonly listed: readonly (CertsD | UnreadableDirectory)[];
    readonly nerdctl: readonly (CertsD | UnreadableDirectory)[];
  };
  readonly #disk: Disk;
  readonly #failures: Failure[] = [];

  constructor(hostsPaths: readonly string[], disk: Disk, nerdctlPaths = NERDCTL_PATHS) {
    this.#disk = disk;
    this.listed = this.#opened(hostsPaths);
    const sought = (path: string) => this.#looked(path) ?? [];
    this.sought = { listed: hostsPaths.flatMap(sought), nerdctl: nerdctlPaths.flatMap(sought) };
  }

  #looked(path: string): CertsD | UnreadableDirectory | undefined {
    try {
      const certsD = new CertsD(path, this.#disk);
      return this.listed.find(({ root }) => root === certsD.root) ?? certsD;
    } catch (error) {
      return unreadOf(path, error);
    }
  }

  #opened(paths: readonly string[]): CertsD[] {
    const all = paths.flatMap(
      (path) => this.#tried(path, () => new CertsD(path, this.#disk)) ?? [],
    );
    return [...new Map(all.map((certsD) => [certsD.root, certsD])).values()];
  }

  /** Those in which the last run may have left something, and that are not listed any more. */
  former(further: readonly string[]): CertsD[] {
    const told = this.listed.flatMap((certsD) => {
      try {
        return certsD.journal().hostsPaths;
      } catch (error) {
        if (!(error instanceof SpegelError)) throw error;
        // What is wrong with it is found, and named, when its turn comes.
        return [];
      }
    });
    const listed = this.listed.map(({ root }) => root);
    return this.#opened([...told, ...further]).filter(({ root }) => !listed.includes(root));
  }

  /** What is to be in the journals: all that are listed, and these; empty for one alone. */
  listWith(others: readonly CertsD[]): string[] {
    const paths = [...this.listed, ...others].map(({ root }) => root);
    return paths.length > 1 ? paths : [];
  }

  /** Does the work in each, one after the other. Rejects for what is no matter of one directory. */
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

  #tried<T>(path: string, work: () => T): T | undefined {
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
   * The outcomes with what failed as problems. Throws the first failure when nothing listed could
   * be done.
   */
  outcome(...outcomes: readonly HostsOutcome[]): HostsOutcome {
    const order = this.listed.map(({ root }) => root);
    const failures = this.#failures.toSorted(
      (a, b) => order.indexOf(a.path) - order.indexOf(b.path),
    );
    const isDone = order.some((root) => failures.every(({ path }) => path !== root));
    if (failures[0] !== undefined && !isDone) throw failures[0].error;
    const problems = failures.map(({ path, error: { message } }) => {
      const isSaid = message.startsWith(`${path}: `);
      return { path, message: isSaid ? message.slice(path.length + 2) : message };
    });
    return joined(...outcomes, { changes: [], problems, warnings: [], inForce: [] });
  }
}

/** For the others; undefined for what is no directory, in which nothing can be. */
export function unreadOf(path: string, error: unknown): UnreadableDirectory | undefined {
  if (!(error instanceof SpegelError)) throw error;
  const isSaid = error.message.startsWith(`${path}: `);
  const reason = isSaid ? error.message.slice(path.length + 2) : error.message;
  return codeOf(error.cause) === 'ENOTDIR' ? undefined : { path, reason };
}
