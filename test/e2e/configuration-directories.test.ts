/**
 * containerd's config_path with two directories, and files that one version reads and another does
 * not.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isVersion2 } from '../../lab/containerd/containerd-config.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { CommandError } from '../../lab/processes/exec.ts';
import { findNerdctl } from '../../lab/programs/nerdctl.ts';
import type { ContainerdVersion } from '../../lab/programs/programs.ts';
import { copyClientFiles, makeCertificates } from '../../lab/registries/certificates.ts';
import { pushEmptyImages } from '../../lab/registries/quick-push.ts';
import { TlsRegistry } from '../../lab/registries/tls-registry.ts';
import { configureMirrors } from '../../lib/hosts/mirrors.ts';
import { ALL } from '../hosts/support.ts';
import { assertSameTree, file, readTree, type Tree, writeTree } from '../hosts/tree.ts';
import { Asked, MIRROR } from '../support/asked.ts';
import { cleanUp, configure } from '../support/command.ts';

const VERSIONS: readonly ContainerdVersion[] = ['1.6', '1.7', '2.1', '2.4'];
const skip = await labMissing('2.4');
const PULL_TIMEOUT_MS = 20_000;
const OTHER = 'http://127.0.0.1:5109';

/** By port: what stands there, and in which directory the host has files for it. */
const PORTS = {
  'CA and client certificate in the second directory': 6000,
  'plain http, as README says': 6001,
  'plain http, its server alone': 6002,
  'another server, which has nothing': 6003,
  'plain http, named to us': 6004,
  'no directory': 6005,
} as const;
type Name = keyof typeof PORTS;
const NAMES = Object.keys(PORTS) as Name[];
const TLS: readonly Name[] = ['another server, which has nothing', 'no directory'];

/** Whether a pull works while we are not there. */
function worksWithoutUs(name: Name, isV2: boolean): boolean {
  if (name === 'plain http, named to us') return false;
  if (name === 'plain http, its server alone') return isV2;
  return name !== 'another server, which has nothing' || !isV2;
}

/** Files that containerd 1.x does not read stay as they are there. */
const ASLEEP: readonly Name[] = [
  'plain http, its server alone',
  'another server, which has nothing',
];

test('what worked works on, through the mirror; after cleanup all is as before', {
  skip,
}, async (t) => {
  const containerd = VERSIONS.map((version) => ({ version, cri: true }));
  const lab = await Lab.create({ hosts: VERSIONS.length, containerd }, t);
  const addresses = lab.hosts.map(({ address }) => address);
  const { storage } = lab.upstream;
  const tls = await TlsRegistry.start(lab, 'tls', { storage, addresses });
  await pushEmptyImages(lab.upstream, join(lab.dir, 'empty'), [
    'list',
    'before',
    'configured',
    'after',
  ]);
  const system = await makeCertificates(lab.tools.openssl, join(lab.dir, 'system'), ...addresses);
  await Promise.all(
    lab.hosts.map(async (host) => {
      await copyFile(system.ca, host.containerd.systemCa);
      const to = lab.upstream.registry;
      const certificate = { cert: system.serverCert, key: system.serverKey };
      const asked = await Asked.start(lab, host, [
        MIRROR,
        { name: 'OTHER', port: 5109 },
        { name: 'REG', host: host.address, port: 6000, to: tls.registry, raw: true },
        ...NAMES.slice(1).map((name) => {
          const server = { name: 'REG', host: host.address, port: PORTS[name], to };
          return TLS.includes(name) ? { ...server, tls: certificate } : server;
        }),
      ]);
      await checkHost(new TwoDirectories(host, asked), tls);
    }),
  );
});

class TwoDirectories {
  readonly host: LabHost;
  readonly #asked: Asked;
  readonly base: string;
  readonly list: string;

  constructor(host: LabHost, asked: Asked) {
    this.host = host;
    this.#asked = asked;
    this.base = join(host.dir, 'lists');
    this.list = `${join(this.base, 'a')}:${join(this.base, 'b')}`;
  }

  registry(name: Name): string {
    return `${this.host.address}:${PORTS[name]}`;
  }

  async start(localImagePull: boolean): Promise<void> {
    const { containerd } = this.host;
    await containerd.service.stop();
    containerd.closeClients();
    await containerd.start({ configPath: this.list, localImagePull });
  }

  /** By name, whether it worked and whether the mirror was asked. */
  async pulls(repository: string): Promise<Record<string, string>> {
    const seen: Record<string, string> = {};
    for (const name of NAMES) {
      await this.#asked.forget();
      const ref = `${this.registry(name)}/${repository}:v1`;
      const outcome = await this.host.containerd.cri.pull(ref, PULL_TIMEOUT_MS).then(
        () => 'works',
        () => 'fails',
      );
      const isMirrored = (await this.#asked.requests()).some(({ by }) => by === 'M');
      seen[name] = isMirrored ? `${outcome}, mirrored` : outcome;
    }
    return seen;
  }
}

async function checkHost(two: TwoDirectories, tls: TlsRegistry): Promise<void> {
  const { containerd } = two.host;
  const isV2 = isVersion2(containerd.version);
  const plain = two.registry('plain http, as README says');
  const pem = async (path: string) => file(await readFile(path, 'utf8'));
  const second = `b/${two.registry('CA and client certificate in the second directory')}`;
  const tree: Tree = {
    [`${second}/ca.crt`]: await pem(tls.ca),
    [`${second}/client.cert`]: await pem(tls.clientCert),
    [`${second}/client.key`]: await pem(tls.clientKey),
    [`a/${plain}/hosts.toml`]: file(
      `server = "http://${plain}"\n\n[host."http://${plain}"]\n  capabilities = ["pull", "resolve"]\n`,
    ),
    [`a/${two.registry('plain http, its server alone')}/hosts.toml`]: file(
      `server = "http://${two.registry('plain http, its server alone')}"\n`,
    ),
    [`b/${two.registry('another server, which has nothing')}/hosts.toml`]: file(
      `server = "${OTHER}"\n`,
    ),
  };
  await mkdir(two.base, { recursive: true });
  writeTree(two.base, tree);
  if (isV2) {
    // The transfer service takes the list for one directory, which is not there.
    await two.start(false);
    const expected = Object.fromEntries(
      NAMES.map((name) => [name, TLS.includes(name) ? 'works' : 'fails']),
    );
    assert.deepEqual(await two.pulls('list'), expected, containerd.version);
  }
  await two.start(true);
  const laidOut = readTree(two.base);
  const without = Object.fromEntries(
    NAMES.map((name) => [name, worksWithoutUs(name, isV2) ? 'works' : 'fails']),
  );
  assert.deepEqual(await two.pulls('before'), without, containerd.version);

  const named = `http://${two.registry('plain http, named to us')}`;
  const flags = [
    `--mirrored-registries=_default,${named}`,
    `--containerd-sock=${containerd.socket}`,
  ];
  const configured = await configure(two.list, ...flags);
  // The version is asked from the socket.
  assert.equal(configured.code, isV2 ? 0 : 1, configured.stderr);
  const leftAlone = configured.stderr.match(/left alone/g)?.length ?? 0;
  assert.equal(leftAlone, isV2 ? 0 : ASLEEP.length, configured.stderr);
  const withUs = NAMES.map((name) => {
    if (!isV2 && ASLEEP.includes(name)) return [name, without[name]];
    const works = name === 'plain http, named to us' ? 'works' : without[name];
    return [name, `${works}, mirrored`];
  });
  assert.deepEqual(await two.pulls('configured'), Object.fromEntries(withUs), containerd.version);

  const cleaned = await cleanUp(two.list);
  assert.equal(cleaned.code, 0, cleaned.stderr);
  assertSameTree(readTree(two.base), laidOut, 'after cleanup');
  assert.deepEqual(await two.pulls('after'), without, containerd.version);
  await rm(two.base, { recursive: true });
}

const nerdctl = await findNerdctl();
const noNerdctl = nerdctl === undefined ? 'no nerdctl here' : false;

test('nerdctl finds what it found, beside our _default, and the mirror', {
  skip: skip || noNerdctl,
}, async (t) => {
  assert.ok(nerdctl);
  const lab = await Lab.create({ hosts: 1 }, t);
  const host = lab.host(0);
  const tls = await TlsRegistry.start(lab, 'tls', { addresses: [host.address] });
  const asked = await Asked.start(lab, host, [
    MIRROR,
    { name: 'REG', host: host.address, port: 443, to: tls.registry, raw: true },
    { name: 'REG', host: host.address, port: 6000, to: tls.registry, raw: true },
  ]);
  const places = ['a', 'b'].map((name) => join(host.dir, 'nerdctl', name));
  const [listed = '', other = ''] = places;
  await mkdir(listed, { recursive: true });
  // One has its certificates where containerd looks, one where nerdctl alone does.
  await copyClientFiles(tls.certificates, join(listed, host.address));
  await copyClientFiles(tls.certificates, join(other, `${host.address}:6000`));
  /** Who was asked, and whether the registry was reached: it does not have this. */
  const inspected = async (registry: string) => {
    await asked.forget();
    const argv = [
      nerdctl,
      '--hosts-dir',
      places.join(','),
      'manifest',
      'inspect',
      `${registry}/x/y:z`,
    ];
    const { stderr } = await host.net.run(argv, { timeoutMs: 20_000 }).catch((error: unknown) => {
      assert.ok(error instanceof CommandError);
      return error;
    });
    const isMirrored = (await asked.requests()).some(({ by }) => by === 'M');
    assert.match(stderr, /not found/);
    assert.doesNotMatch(stderr, /x509|certificate/);
    return isMirrored;
  };
  const registries = [host.address, `${host.address}:6000`];
  for (const registry of registries) assert.equal(await inspected(registry), false);
  const options = { signal: t.signal, nerdctlPaths: places };
  await configureMirrors([listed], ALL, options);
  for (const registry of registries) assert.equal(await inspected(registry), true);
  // Its file is somebody else's, behind a link: no block goes in, and it is found as it is.
  const files = join(other, `${host.address}:6000`);
  const [ca, cert, key] = ['ca.crt', 'client.cert', 'client.key'].map((name) => join(files, name));
  const keys = `ca = "${ca}"\nclient = [["${cert}", "${key}"]]\n`;
  const url = `https://${host.address}`;
  const managed = join(host.dir, 'managed.toml');
  await writeFile(managed, `server = "${url}"\n${keys}\n[host."${url}"]\n${keys}`);
  await rm(join(listed, host.address), { recursive: true });
  await mkdir(join(listed, host.address));
  await symlink(managed, join(listed, host.address, 'hosts.toml'));
  const { problems } = await configureMirrors([listed], ALL, options);
  assert.equal(problems.length, 1);
  assert.ok(existsSync(join(listed, '_default')));
  assert.equal(await inspected(host.address), true);
});
