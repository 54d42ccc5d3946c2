/**
 * Private registries: their authority and client certificate go on working with our block in front.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { TlsRegistry } from '../../lab/registries/tls-registry.ts';
import { assertSameTree, type Entry, file, type Tree } from '../hosts/tree.ts';
import { cleanUp, configure } from '../support/command.ts';
import { A, type PullOracle, type Row, startOracles, VERSIONS } from '../support/pull-oracle.ts';

const skip = await labMissing();
const ROUNDS = ['before', 'configured', 'after'];
const CAPABLE = 'capabilities = ["pull", "resolve"]\n';
const HOST = `\n[host."${A}"]\n${CAPABLE}`;
const CA = 'ca = "ca.crt"\n';
const CLIENT = 'client = [["client.cert", "client.key"]]\n';

interface PrivateRow extends Row {
  /** Whom the pull asks that we can see: mirrors. The registry itself speaks TLS. */
  readonly asks?: readonly string[];
  /** containerd 2 loads no certificates beside this hosts.toml, 1.x does: our block mends that. */
  readonly isDeadIn2?: boolean;
}

interface Pem {
  readonly ca: Entry;
  readonly cert: Entry;
  readonly key: Entry;
  /** Certificate and key of the client in one. */
  readonly both: Entry;
  /** A certificate of nobody. */
  readonly other: Entry;
}

async function pemOf(tls: TlsRegistry): Promise<Pem> {
  const read = (path: string) => readFile(path, 'utf8');
  const [cert, key] = await Promise.all([read(tls.clientCert), read(tls.clientKey)]);
  return {
    ca: file(await read(tls.ca)),
    cert: file(cert),
    key: file(key, 0o600),
    both: file(cert + key, 0o600),
    other: file(await read(tls.certificates.serverCert)),
  };
}

function rowsOf({ ca, cert, key, both, other }: Pem): PrivateRow[] {
  const pair = { 'R/ca.crt': ca, 'R/client.cert': cert, 'R/client.key': key };
  const withText = (text: string): Tree => ({ ...pair, 'R/hosts.toml': file(text) });
  const odd = 'my "own" \\ ключ #1';
  return [
    { name: 'certificates alone', files: pair },
    { name: 'an empty file', files: withText('') },
    { name: 'comments alone', files: withText('# mine\n'), isDeadIn2: true },
    { name: 'a server alone', files: withText('server = "https://$REG"\n'), isDeadIn2: true },
    { name: 'certificates in the file', files: withText(CA + CLIENT) },
    { name: 'certificates and a host', files: withText(CA + CLIENT + HOST), asks: ['A'] },
    {
      name: 'the registry as a host',
      files: withText(`[host."https://$REG"]\n${CAPABLE}${CA}${CLIENT}`),
    },
    { name: 'certificate and key in one', files: { 'R/ca.crt': ca, 'R/client.cert': both } },
    {
      name: 'one file, and the file says so',
      files: {
        'R/ca.crt': ca,
        'R/both.pem': both,
        'R/hosts.toml': file(`${CA}client = "both.pem"\n${HOST}`),
      },
      asks: ['A'],
    },
    {
      name: 'two of each',
      files: { ...pair, 'R/a.crt': other, 'R/a.cert': both, 'R/z.cert': cert, 'R/z.key': key },
    },
    {
      name: 'names that have to be escaped',
      files: { [`R/${odd}.crt`]: ca, [`R/${odd}.cert`]: cert, [`R/${odd}.key`]: key },
    },
    {
      name: 'host_port_',
      files: { 'R_/ca.crt': ca, 'R_/client.cert': cert, 'R_/client.key': key },
    },
    { name: 'by _default', files: {} },
    { name: 'by _default, listed', files: {} },
  ];
}

test('certificates of a registry that demands them', { skip }, async (t) => {
  const containerd = VERSIONS.map((version) => ({ version, cri: true }));
  const lab = await Lab.create({ hosts: 3, containerd }, t);
  const { storage } = lab.upstream;
  const addresses = lab.hosts.map(({ address }) => address);
  const tls = await TlsRegistry.start(lab, 'tls', { storage, addresses });
  const pem = await pemOf(tls);
  const rows = rowsOf(pem);
  const oracles = await startOracles(lab, rows, ROUNDS, tls);
  const byDefault = {
    '_default/ca.crt': pem.ca,
    '_default/client.cert': pem.cert,
    '_default/client.key': pem.key,
  };
  await Promise.all(oracles.map((oracle) => checkHost(oracle, rows, byDefault)));
});

async function checkHost(
  oracle: PullOracle,
  rows: readonly PrivateRow[],
  byDefault: Tree,
): Promise<void> {
  const { hostsDir, host } = oracle;
  await oracle.plant(byDefault);
  const tree = oracle.tree();
  const before = await oracle.round('before');
  const isNew = host.containerd.version === '2.1';
  const worked = rows.map(({ name, isDeadIn2 = false }) => [name, !(isNew && isDeadIn2)]);
  assert.deepEqual(
    [...before.pulls].map(([name, { ok }]) => [name, ok]),
    worked,
  );

  const listed = rows.find(({ name }) => name === 'by _default, listed');
  assert.ok(listed);
  const flags = [
    '--mirrored-registries=*',
    `--mirrored-registries=https://${oracle.registry(listed)}`,
  ];
  const { code, stderr } = await configure(hostsDir, ...flags);
  assert.equal(code, 0, stderr);
  const configured = await oracle.round('configured');
  const expected = rows.map(({ name, asks = [] }) => {
    const order = ['M', ...asks];
    return [name, { ok: true, tag: order, blob: order, error: '' }] as const;
  });
  assert.deepEqual(configured.pulls, new Map(expected));
  assert.ok(
    configured.requests.every(({ method }) => method !== 'TLS'),
    'mirrors speak no TLS',
  );

  assert.equal((await cleanUp(hostsDir)).code, 0);
  assertSameTree(oracle.tree(), tree, 'after cleanup');
  const after = await oracle.round('after');
  assert.deepEqual(
    [...after.pulls].map(([name, { ok }]) => [name, ok]),
    worked,
  );
  assert.ok(after.requests.every(({ by }) => by !== 'M'));
}
