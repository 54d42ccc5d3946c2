/** What real containerd asks for a tag, and what we would, row by row of one table. */
import assert from 'node:assert/strict';
import { copyFile, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { EndpointRow } from '../hosts/endpoint-row.ts';
import { ENDPOINT_ROWS } from '../hosts/endpoint-rows.ts';
import { type Entry, type Tree, writeTree } from '../hosts/tree.ts';
import { Asked, type AskedRequest, type AskedServer } from '../support/asked.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import type { AskerSpec } from '../support/endpoint-asker.ts';
import { Lab, type LabHost, labMissing } from '../support/lab.ts';
import { nameHosts } from '../support/names.ts';
import type { ContainerdVersion } from '../support/provision.ts';

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
  const failures: string[] = [];
  await Promise.all(
    hosts.map(async (host) => {
      const [theirs, ours] = [await host.containerdAsks(), await host.weAsk()];
      for (const [index, row] of ENDPOINT_ROWS.entries()) {
        const { version } = host;
        const lacks = row.lacks?.[version] ?? [];
        const expected = requestsOf(ours, index).filter(
          (line) => !lacks.some((part) => line.includes(part)),
        );
        const got = requestsOf(theirs, index);
        if (got.join('\n') === expected.join('\n')) continue;
        failures.push(
          `${version}, ${row.name}:\n  asked\n    ${got.join('\n    ')}\n  not\n    ${expected.join('\n    ')}`,
        );
      }
    }),
  );
  assert.deepEqual(failures, [], failures.join('\n'));
});

/** What was asked for the tag of this row, each once, without what this host's own registry was asked. */
function requestsOf(requests: readonly AskedRequest[], index: number): string[] {
  const own = requests.filter(
    ({ by, path, method }) =>
      by !== 'own' && method === 'HEAD' && path.includes(`/${repository(index)}/`),
  );
  return [...new Set(own.map(lineOf))];
}

function lineOf({ method, scheme, headers, path, client }: AskedRequest): string {
  const set = Object.entries(headers).filter(([name]) => /^x-|^authorization$/.test(name));
  const words = set.map(([name, value]) => `${name}=${value}`).sort();
  // A URL makes the letters small and drops the scheme's own port, as Node does where it asks.
  const { origin } = new URL(`${scheme}://${headers.host}`);
  return [method, `${origin}${path}`, client, ...words].filter(Boolean).join(' ');
}

function repository(index: number): string {
  return `row${index}/app`;
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

  get version(): ContainerdVersion {
    return this.#host.containerd.version;
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

  /** Pulls the tag of every row, each with a certs.d of its own. */
  async containerdAsks(): Promise<AskedRequest[]> {
    const { containerd } = this.#host;
    await this.#asked.forget();
    for (const [index, row] of ENDPOINT_ROWS.entries()) {
      writeTree(this.#certsD(index), await this.#filled(row.files));
      await rm(containerd.hostsDir, { recursive: true });
      await symlink(this.#certsD(index), containerd.hostsDir);
      const ref = `${row.registry}/${repository(index)}:v1`;
      await assert.rejects(containerd.cri.pull(ref, PULL_TIMEOUT_MS));
    }
    return this.#asked.requests();
  }

  async weAsk(): Promise<AskedRequest[]> {
    await this.#asked.forget();
    const tags = ENDPOINT_ROWS.map(({ registry }: EndpointRow, index) => ({
      configPaths: [this.#certsD(index)],
      registry,
      path: `${repository(index)}/manifests/v1`,
    }));
    const spec: AskerSpec = { systemCa: this.#host.containerd.systemCa, ownPort: OWN_PORT, tags };
    await this.#host.net.run([process.execPath, ASKER, JSON.stringify(spec)]);
    return this.#asked.requests();
  }

  #certsD(index: number): string {
    return join(this.#host.dir, `certs.d-${index}`);
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
