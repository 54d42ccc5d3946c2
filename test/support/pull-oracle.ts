/**
 * What pulls from many registries, each with files of its own in one certs.d, ask whom, on a real
 * containerd: seen before, while and after our block is there.
 */
import { copyFile, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';
import type { ContainerdVersion } from '../../lab/programs/programs.ts';
import { makeCertificates } from '../../lab/registries/certificates.ts';
import { pushEmptyImages } from '../../lab/registries/quick-push.ts';
import type { Upstream } from '../../lab/registries/upstream.ts';
import { type Entry, readTree, type Tree, writeTree } from '../hosts/tree.ts';
import { Asked, type AskedRequest, type AskedServer, MIRROR } from './asked.ts';

/** Hosts that an administrator may name: two mirrors without content, and one with all. */
export const A = 'http://127.0.0.1:5101';
export const B = 'http://127.0.0.1:5102';
export const UP = 'http://127.0.0.1:5109';
const FIRST_PORT = 6000;
const AT_ONCE = 3;
/** CRI tries several times where a TLS handshake fails; nothing here waits for a network. */
const PULL_TIMEOUT_MS = 20_000;

export const VERSIONS: readonly ContainerdVersion[] = ['2.1', '1.7', '1.6'];

/** One registry, and what certs.d holds for it. */
export interface Row {
  readonly name: string;
  /**
   * Below certs.d; `R` in front stands for the registry's directory, `R_` for `host_port_`, and
   * `$REG` in texts for the registry.
   */
  readonly files: Tree;
  /**
   * On 127.0.0.1 and without TLS. Default: on the host's address, by TLS that the system trusts.
   */
  readonly isLocal?: boolean;
}

/** Whom one pull asked, in order. */
export interface Seen {
  readonly ok: boolean;
  readonly tag: readonly string[];
  readonly blob: readonly string[];
  /** Of the CRI, when it failed. */
  readonly error: string;
}

export interface Round {
  readonly pulls: ReadonlyMap<string, Seen>;
  /** All that was asked, in order. */
  readonly requests: readonly AskedRequest[];
  /** How often containerd said that it cannot read a hosts.toml. */
  readonly undecoded: number;
}

/**
 * Servers on every host for these rows, and an image for each round and row. `registry`: what the
 * rows' registries are, byte by byte, in place of ones that have all and write down what they are
 * asked.
 */
export async function startOracles(
  lab: Lab,
  rows: readonly Row[],
  rounds: readonly string[],
  registry?: Upstream,
): Promise<PullOracle[]> {
  const repositories = rounds.flatMap((round) => rows.map((_, i) => `${round}/r${i}`));
  await pushEmptyImages(lab.upstream, join(lab.dir, 'empty'), repositories);
  const addresses = lab.hosts.map(({ address }) => address);
  const certificates = await makeCertificates(lab.tools.openssl, lab.dir, ...addresses);
  const tls = { cert: certificates.serverCert, key: certificates.serverKey };
  const to = lab.upstream.registry;
  const serverOf = ({ address }: LabHost, { isLocal }: Row, i: number): AskedServer => {
    const port = FIRST_PORT + i;
    if (registry) return { name: 'REG', host: address, port, to: registry.registry, raw: true };
    return isLocal ? { name: 'REG', port, to } : { name: 'REG', host: address, port, to, tls };
  };
  return Promise.all(
    lab.hosts.map(async (host) => {
      await copyFile(certificates.ca, host.containerd.systemCa);
      const asked = await Asked.start(lab, host, [
        MIRROR,
        { name: 'A', port: 5101 },
        { name: 'B', port: 5102 },
        { name: 'UP', port: 5109, to },
        ...rows.map((row, i) => serverOf(host, row, i)),
      ]);
      return new PullOracle(host, asked, rows);
    }),
  );
}

export class PullOracle {
  readonly host: LabHost;
  readonly asked: Asked;
  readonly #rows: readonly Row[];

  constructor(host: LabHost, asked: Asked, rows: readonly Row[]) {
    this.host = host;
    this.asked = asked;
    this.#rows = rows;
  }

  get hostsDir(): string {
    return this.host.containerd.hostsDir;
  }

  /** Its name in references. */
  registry(row: Row): string {
    const host = row.isLocal ? '127.0.0.1' : this.host.address;
    return `${host}:${FIRST_PORT + this.#rows.indexOf(row)}`;
  }

  #path(row: Row, path: string): string {
    const registry = this.registry(row);
    const escaped = `${registry.replace(':', '_')}_`;
    return path.replace(/^R_(?=\/|$)/, escaped).replace(/^R(?=\/|$)/, registry);
  }

  /** Lays out certs.d: the files of all rows, and these. */
  async plant(further: Tree = {}): Promise<void> {
    const tree = { ...further };
    for (const row of this.#rows) {
      for (const [path, entry] of Object.entries(row.files)) {
        tree[this.#path(row, path)] = withRegistry(entry, this.registry(row));
      }
    }
    await rm(this.hostsDir, { recursive: true });
    writeTree(this.hostsDir, tree);
  }

  tree(): Tree {
    return readTree(this.hostsDir);
  }

  /** The path of a row's hosts.toml. */
  file(row: Row, directory = 'R'): string {
    return join(this.hostsDir, this.#path(row, directory), 'hosts.toml');
  }

  /** Pulls the image of this round from every row's registry, through CRI. */
  async round(round: string, rows = this.#rows): Promise<Round> {
    await this.asked.forget();
    const before = (await this.#log()).length;
    const failures = new Map<string, string>();
    const waiting = [...rows];
    const worker = async () => {
      for (let row = waiting.shift(); row !== undefined; row = waiting.shift()) {
        const ref = `${this.registry(row)}/${this.#repository(round, row)}:v1`;
        await this.host.containerd.cri
          .pull(ref, PULL_TIMEOUT_MS)
          .catch((error: Error) => failures.set(row.name, error.message));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    const requests = await this.asked.requests();
    const pulls = rows.map((row): [string, Seen] => {
      const own = requests.filter(({ path }) => path.includes(`/${this.#repository(round, row)}/`));
      return [row.name, { ...order(own), ...failed(failures.get(row.name)) }];
    });
    const undecoded = (await this.#log()).slice(before).split('failed to decode').length - 1;
    return { pulls: new Map(pulls), requests, undecoded };
  }

  #repository(round: string, row: Row): string {
    return `${round}/r${this.#rows.indexOf(row)}`;
  }

  #log(): Promise<string> {
    return readFile(this.host.containerd.logPath, 'utf8');
  }
}

function withRegistry(entry: Entry, registry: string): Entry {
  if (entry.kind !== 'file' || typeof entry.data !== 'string') return entry;
  return { ...entry, data: entry.data.replaceAll('$REG', registry) };
}

function failed(error: string | undefined): Pick<Seen, 'ok' | 'error'> {
  return { ok: error === undefined, error: error ?? '' };
}

/** Who was asked for the tag, and who for the config: the images have no other blob. */
function order(requests: readonly AskedRequest[]): Pick<Seen, 'tag' | 'blob'> {
  const askedFor = (part: string) =>
    requests.filter(({ path }) => path.split('?')[0]?.endsWith(part)).map(({ by }) => by);
  const [, blob = 'none'] =
    /(\/blobs\/[^?]+)/.exec(requests.find(({ path }) => path.includes('/blobs/'))?.path ?? '') ??
    [];
  return { tag: askedFor('/manifests/v1'), blob: askedFor(blob) };
}
