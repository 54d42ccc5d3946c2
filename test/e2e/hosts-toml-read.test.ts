/** What real containerd asks for a tag, and what we would, row by row of one table. */
import assert from 'node:assert/strict';
import { copyFile, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { nameHosts } from '../../lab/network/host-names.ts';
import type { ContainerdVersion } from '../../lab/programs/programs.ts';
import { type Certificates, makeCertificates } from '../../lab/registries/certificates.ts';
import { ENDPOINT_TABLES, type EndpointTable } from '../hosts/endpoint-rows.ts';
import { type Entry, type Tree, writeTree } from '../hosts/tree.ts';
import { Asked, type AskedRequest, type AskedServer } from '../support/asked.ts';
import type { AskerSpec } from '../support/endpoint-asker.ts';

const skip = await labMissing();
const VERSIONS: readonly ContainerdVersion[] = ['2.1', '1.7', '1.6'];
const ASKER = join(import.meta.dirname, '../support/endpoint-asker.ts');
const NAMES = [
  'reg.test',
  'registry-1.docker.io',
  'docker.io',
  'docker-mirror.internal',
  'test-1.registry',
  'test-2.registry',
  'test-3.registry',
];
const OWN_PORT = 5000;
/** CRI tries several times where a TLS handshake fails; nothing here waits for a network. */
const PULL_TIMEOUT_MS = 20_000;

test('containerd asks where our reading of hosts.toml says', { skip }, async (t) => {
  const containerd = VERSIONS.map((version) => ({ version, cri: true }));
  const lab = await Lab.create({ hosts: VERSIONS.length, containerd }, t);
  const hosts = await Promise.all(lab.hosts.map((host) => RecordedHost.start(lab, host)));
  for (const table of ENDPOINT_TABLES) {
    const differences = await Promise.all(hosts.map((host) => host.differences(table)));
    assert.deepEqual(differences.flat(), [], differences.flat().join('\n'));
  }
});

/**
 * What was asked for the tag of this repository, each once, without what this host's own registry
 * was asked.
 */
function requestsFor(repository: string, requests: readonly AskedRequest[]): string[] {
  const others = requests.filter(({ by, method }) => by !== 'own' && method === 'HEAD');
  return [...new Set(others.filter(({ path }) => path.includes(`/${repository}/`)).map(lineOf))];
}

function lineOf({ method, scheme, headers, path, client }: AskedRequest): string {
  const set = Object.entries(headers).filter(([name]) => /^x-|^authorization$/.test(name));
  const words = set.map(([name, value]) => `${name}=${value}`).sort();
  // A URL makes the letters small and drops the scheme's own port, as Node does where it asks.
  const { origin } = new URL(`${scheme}://${headers.host}`);
  return [method, `${origin}${path}`, client, ...words].filter(Boolean).join(' ');
}

function repositoryOf(table: EndpointTable, index: number): string {
  return `${table.name}${index}/app`;
}

class RecordedHost {
  readonly #host: LabHost;
  readonly #asked: Asked;
  readonly #certificates: string;

  private constructor(host: LabHost, asked: Asked, certificates: string) {
    this.#host = host;
    this.#asked = asked;
    this.#certificates = certificates;
  }

  static async start(lab: Lab, host: LabHost): Promise<RecordedHost> {
    const { openssl } = lab.tools;
    const system = await makeCertificates(
      openssl,
      join(host.dir, 'system'),
      host.address,
      ...NAMES,
    );
    const hidden = await makeCertificates(
      openssl,
      join(host.dir, 'private'),
      host.address,
      '127.0.0.1',
      ...NAMES,
    );
    const certificates = join(host.dir, 'certificates');
    await layOut(certificates, system, hidden);
    await copyFile(system.ca, host.containerd.systemCa);
    await nameHosts([host], [NAMES.join(' ')]);
    await host.containerd.restart();
    const asked = await Asked.start(lab, host, servers(host.address, system, hidden));
    return new RecordedHost(host, asked, certificates);
  }

  /**
   * For people: the rows in which containerd asks otherwise than we do, as far as no row says so.
   */
  async differences(table: EndpointTable): Promise<string[]> {
    const { version } = this.#host.containerd;
    const [theirs, ours] = [await this.#containerdAsks(table), await this.#weAsk(table)];
    assert.ok(ours.length >= table.rows.length, 'we are heard');
    return table.rows.flatMap((row, index) => {
      const repository = repositoryOf(table, index);
      const lacks = row.lacks?.[version] ?? [];
      const isExpected = (line: string) => !lacks.some((part) => line.includes(part));
      const expected = requestsFor(repository, ours).filter(isExpected).join('\n    ');
      const got = requestsFor(repository, theirs).join('\n    ');
      if (got === expected) return [];
      return `${version}, ${row.name}:\n  asked\n    ${got}\n  not\n    ${expected}`;
    });
  }

  /** Pulls the tag of every row, each with a certs.d of its own. */
  async #containerdAsks(table: EndpointTable): Promise<AskedRequest[]> {
    const { containerd } = this.#host;
    if (table.roots.length > 1) {
      // The transfer service takes several directories for one that is not there.
      const configPath = table.roots.map((root) => join(containerd.hostsDir, root)).join(':');
      await containerd.restart({ configPath, localImagePull: true });
    }
    await this.#asked.forget();
    for (const [index, { registry, files }] of table.rows.entries()) {
      const certsD = this.#certsD(table, index);
      writeTree(certsD, await this.#filled(files));
      await rm(containerd.hostsDir, { recursive: true });
      await symlink(certsD, containerd.hostsDir);
      const ref = `${registry}/${repositoryOf(table, index)}:v1`;
      await assert.rejects(containerd.cri.pull(ref, PULL_TIMEOUT_MS));
    }
    return this.#asked.requests();
  }

  async #weAsk(table: EndpointTable): Promise<AskedRequest[]> {
    await this.#asked.forget();
    const tags = table.rows.map(({ registry }, index) => ({
      configPaths: table.roots.map((root) => join(this.#certsD(table, index), root)),
      registry,
      path: `${repositoryOf(table, index)}/manifests/v1`,
    }));
    const spec: AskerSpec = { systemCa: this.#host.containerd.systemCa, ownPort: OWN_PORT, tags };
    await this.#host.net.run([process.execPath, ASKER, JSON.stringify(spec)]);
    return this.#asked.requests();
  }

  #certsD(table: EndpointTable, index: number): string {
    return join(this.#host.dir, table.name, String(index));
  }

  async #filled(files: Tree): Promise<Tree> {
    const fill = async (entry: Entry): Promise<Entry> => {
      if (entry.kind !== 'file' || typeof entry.data !== 'string') return entry;
      const [, name] = /^\$([a-z]+\.[a-z]+)$/.exec(entry.data) ?? [];
      if (name) return { ...entry, data: await readFile(join(this.#certificates, name)) };
      const data = entry.data
        .replaceAll('$ADDR', this.#host.address)
        .replaceAll('$CERTS', this.#certificates);
      return { ...entry, data };
    };
    const filled = Object.entries(files).map(async ([path, entry]) => [path, await fill(entry)]);
    return Object.fromEntries(await Promise.all(filled)) as Tree;
  }
}

/** The files that rows name. */
async function layOut(into: string, system: Certificates, hidden: Certificates): Promise<void> {
  const [cert, key] = [await readFile(hidden.clientCert), await readFile(hidden.clientKey)];
  writeTree(into, {});
  await copyFile(system.ca, join(into, 'system.crt'));
  await copyFile(hidden.ca, join(into, 'private.crt'));
  await writeFile(join(into, 'client.cert'), cert);
  await writeFile(join(into, 'client.key'), key);
  await writeFile(join(into, 'client.pem'), Buffer.concat([cert, key]));
}

function servers(address: string, system: Certificates, hidden: Certificates): AskedServer[] {
  const trusted = { cert: system.serverCert, key: system.serverKey };
  const untrusted = { cert: hidden.serverCert, key: hidden.serverKey };
  const plain = [80, 5101, 5102, 5104, 5105, 5106, 5107, 5108, 5109, 5110, 5111];
  return [
    { name: 'own', host: '0.0.0.0', port: OWN_PORT },
    ...plain.map((port) => ({ name: 'plain', port })),
    { name: 'plain', host: '::1', port: 5103 },
    { name: 'plain', host: '127.0.0.3', port: 80 },
    { name: 'trusted', port: 443, tls: trusted },
    { name: 'trusted', host: address, port: 443, tls: trusted },
    { name: 'trusted', host: address, port: 5443, tls: trusted },
    { name: 'private', port: 6443, tls: untrusted, asksClients: true },
    { name: 'private', host: address, port: 6443, tls: untrusted, asksClients: true },
  ];
}
