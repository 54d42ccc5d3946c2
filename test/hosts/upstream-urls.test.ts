import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { upstreamUrls } from '../../lib/hosts/upstream-urls.ts';

const OWN = 'http://127.0.0.1:5000';
const HUB = 'https://registry-1.docker.io/v2';
const isOwn = (url: URL) => url.origin === OWN;

async function certsD(t: TestContext, files: Record<string, string | null>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-certs-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(directory, name), { recursive: true });
    if (text !== null) await writeFile(join(directory, name, 'hosts.toml'), text);
  }
  return directory;
}

test('without a file it is the registry itself', async (t) => {
  const path = await certsD(t, { 'quay.io': null, _default: 'server = "https://other"' });
  assert.deepEqual(await upstreamUrls([], 'docker.io', isOwn), [HUB]);
  assert.deepEqual(await upstreamUrls(['/nowhere'], 'docker.io', isOwn), [HUB]);
  // A directory without a hosts.toml wins over _default.
  assert.deepEqual(await upstreamUrls([path], 'quay.io', isOwn), ['https://quay.io/v2']);
  assert.deepEqual(await upstreamUrls([path], 'docker.io', isOwn), ['https://other/v2', HUB]);
});

test('hosts that resolve, in order, without ourselves; then the server', async (t) => {
  const text = `
server = "http://10.0.0.9:5000"
[host."${OWN}"]
[host."https://harbor.example/v2/proxy"]
  override_path = true
[host."https://pull-only"]
  capabilities = ["pull"]
[host."harbor2.example"]
  capabilities = ["pull", "resolve"]
[host."unix:///x"]
`;
  const path = await certsD(t, { 'docker.io': text, '10.0.0.1_5000_': '', '10.0.0.1:5000': text });
  const expected = [
    'https://harbor.example/v2/proxy',
    'https://harbor2.example/v2',
    'https://unix:/x/v2',
    'http://10.0.0.9:5000/v2',
  ];
  assert.deepEqual(await upstreamUrls([path], 'docker.io', isOwn), expected);
  // host_port_ comes before host:port.
  assert.deepEqual(await upstreamUrls([path], '10.0.0.1:5000', isOwn), [
    'https://10.0.0.1:5000/v2',
  ]);
});

test('a file that does not parse, or has other types, is as good as none', async (t) => {
  const path = await certsD(t, { 'a.io': 'server = ', 'b.io': 'server = 1\nhost = "x"' });
  assert.deepEqual(await upstreamUrls([path], 'a.io', isOwn), ['https://a.io/v2']);
  assert.deepEqual(await upstreamUrls([path], 'b.io', isOwn), ['https://b.io/v2']);
});
