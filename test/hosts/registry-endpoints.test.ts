import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type RegistryEndpoint, registryEndpoints } from '../../lib/hosts/registry-endpoints.ts';
import { OwnRegistry } from '../../lib/http/own-registry.ts';
import { ENDPOINT_TABLES } from './endpoint-rows.ts';
import { type Entry, inScratch, type Tree, writeTree } from './tree.ts';

const ADDRESS = '10.0.0.9';
const own = new OwnRegistry(
  { host: '', port: 5000 },
  { interfaces: () => ({ eth0: [{ address: ADDRESS }] }) as never },
);
const isOwn = (url: URL) => own.isAt(url);

/** `$CERTS` stays: paths that begin so are relative here, which a row knows. */
function filled(files: Tree): Tree {
  const fill = (entry: Entry): Entry =>
    entry.kind === 'file' && typeof entry.data === 'string'
      ? { ...entry, data: entry.data.replaceAll('$ADDR', ADDRESS).replaceAll('$CERTS', '/$CERTS') }
      : entry;
  return Object.fromEntries(Object.entries(files).map(([path, entry]) => [path, fill(entry)]));
}

/** As the rows write it. */
function lineOf(endpoint: RegistryEndpoint, root: string): string {
  const { baseUrl, fallsBackToHttp, needsNs, skipVerify, ca, client, headers } = endpoint;
  const short = (path: string) => path.replace(`${root}/`, '').replace('/$', '$');
  const pairs = client.map(({ cert, key }) => [cert, key].filter((one) => one !== undefined));
  const words = [
    baseUrl,
    needsNs && 'ns',
    fallsBackToHttp && 'or-http',
    skipVerify && 'skip',
    ca.length > 0 && `ca=${ca.map(short).join(',')}`,
    client.length > 0 && `client=${pairs.map((pair) => pair.map(short).join('+')).join(',')}`,
    ...Object.entries(headers)
      .map(([name, values]) => `${name}=${values.map(fromWire).join(',')}`)
      .sort(),
  ];
  return words.filter(Boolean).join(' ');
}

function fromWire(value: string): string {
  return Buffer.from(value, 'latin1').toString();
}

for (const { roots, rows } of ENDPOINT_TABLES) {
  for (const { name, registry, files, asks } of rows) {
    test(`whom to ask: ${name}`, () =>
      inScratch(async (scratch) => {
        writeTree(scratch, filled(files));
        const paths = roots.map((root) => join(scratch, root));
        const endpoints = await registryEndpoints(paths, registry, isOwn);
        const asked = endpoints.filter(({ pulls, resolves }) => pulls && resolves);
        assert.deepEqual(
          asked.map((one) => lineOf(one, scratch)),
          asks.map((line) => line.replaceAll('$ADDR', ADDRESS)),
        );
      }));
  }
}
