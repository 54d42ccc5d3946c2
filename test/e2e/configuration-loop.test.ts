/** containerd reads the files at every pull: at no moment of a change may it see half of one. */
import assert from 'node:assert/strict';
import { readFile, rm, symlink } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { Lab, type LabHost, labOf } from '../../lab/fleet/lab.ts';
import type { ContainerdVersion } from '../../lab/programs/programs.ts';
import { pushEmptyImages } from '../../lab/registries/quick-push.ts';
import { TlsRegistry } from '../../lab/registries/tls-registry.ts';
import { assertSameTree, file, readTree, type Tree, writeTree } from '../hosts/tree.ts';
import { Asked, MIRROR } from '../support/asked.ts';
import { cleanUp, configure } from '../support/command.ts';

/**
 * How often the files come and go under each of them: most of what can go wrong is not
 * containerd's.
 */
const CASES = [
  { versions: ['2.1', '1.7', '1.6'], times: 20 },
  { versions: ['2.4', '2.3', '2.2'], times: 8 },
] as const;
const REPOSITORY = 'loop/app';
/** Nobody listens there: pulls need what the files say. */
const WITH_FILE = '127.0.0.1:91';
const BY_DEFAULT = '127.0.0.1:92';

for (const { versions: all, times } of CASES) {
  const { versions, skip } = await labOf(all);
  const name = `no pull of containerd ${versions.join(', ')} fails`;
  test(
    `${name} while configuration and cleanup alternate`,
    {
      skip,
    },
    (t) => alternate(t, versions, times),
  );
}

async function alternate(
  t: TestContext,
  versions: readonly ContainerdVersion[],
  times: number,
): Promise<void> {
  const containerd = versions.map((version) => ({ version, cri: true }));
  const lab = await Lab.create({ hosts: versions.length, containerd }, t);
  const { storage, url } = lab.upstream;
  const tls = await TlsRegistry.start(lab, 'tls', { storage });
  await pushEmptyImages(lab.upstream, lab.dir, [REPOSITORY]);
  const text = `server = "${url}"\n\n[host."${url}"]\ncapabilities = ["pull", "resolve"]\n`;
  const tree: Tree = {
    [`${WITH_FILE}/hosts.toml`]: file(text),
    '_default/hosts.toml': file(text),
    [`${tls.registry}/ca.crt`]: file(await readFile(tls.ca)),
    [`${tls.registry}/client.cert`]: file(await readFile(tls.clientCert)),
    [`${tls.registry}/client.key`]: file(await readFile(tls.clientKey)),
  };
  const hostsDir = await shareHostsDir(lab.hosts, tree);
  const asked = await Promise.all(lab.hosts.map((host) => Asked.start(lab, host, [MIRROR])));

  const pulling = new Pulling(lab.hosts, [WITH_FILE, BY_DEFAULT, tls.registry]);
  const before = readTree(hostsDir);
  try {
    for (let i = 0; i < times && pulling.failures.length === 0; i += 1) {
      for (const command of [configure, cleanUp]) {
        const { code, stderr } = await command(hostsDir);
        assert.equal(code, 0, stderr);
      }
    }
  } finally {
    await pulling.end();
  }
  assert.deepEqual(pulling.failures, []);
  assertSameTree(readTree(hostsDir), before, 'after the last cleanup');
  for (const one of asked) assert.notEqual((await one.requests()).length, 0, 'asked in between');
}

/** One certs.d for all of them, which is given back: what one command does all of them see. */
async function shareHostsDir(hosts: readonly LabHost[], tree: Tree): Promise<string> {
  const [shared = '', ...others] = hosts.map(({ containerd }) => containerd.hostsDir);
  await rm(shared, { recursive: true });
  writeTree(shared, tree);
  for (const link of others) {
    await rm(link, { recursive: true });
    await symlink(shared, link);
  }
  return shared;
}

/** Pulls on every host from these registries in turn, until told to end or the first failure. */
class Pulling {
  readonly failures: string[] = [];
  readonly #over: Promise<unknown>;
  #isOver = false;

  constructor(hosts: readonly LabHost[], registries: readonly string[]) {
    this.#over = Promise.all(hosts.map((host) => this.#pull(host, registries)));
  }

  async #pull({ containerd }: LabHost, registries: readonly string[]): Promise<void> {
    for (let i = 0; !this.#isOver && this.failures.length === 0; i += 1) {
      const registry = registries[i % registries.length];
      await containerd.cri.pull(`${registry}/${REPOSITORY}:v1`).catch((error: Error) => {
        this.failures.push(`${containerd.version}, ${registry}: ${error.message}`);
      });
    }
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#over;
  }
}
