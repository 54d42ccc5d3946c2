import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertSame, blob, blobPath, startNode } from '../mirror/support.ts';

test('a login that hosts.toml sends here goes on to the registry; a plain /v2/ is answered', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const via = { 'X-Spegel-Via': 'hosts.toml' };
  const password = { Authorization: `Basic ${Buffer.from('user:wrong').toString('base64')}` };
  for (const headers of [via, password, { ...via, ...password }]) {
    for (const path of ['/v2/', '/v2']) {
      const response = await fetch(node.url + path, { headers });
      assert.equal(response.status, 404);
      assert.equal(response.headers.get('www-authenticate'), null);
      const { errors } = (await response.json()) as { errors: { code: string }[] };
      assert.equal(errors[0]?.code, 'UNSUPPORTED');
    }
  }
  const head = await fetch(`${node.url}/v2/`, { method: 'HEAD' });
  assert.equal(head.status, 200);
  const { bytes, digest } = blob(10);
  node.store.add(bytes);
  const pulled = await fetch(node.url + blobPath(digest), { headers: { ...via, ...password } });
  assertSame(Buffer.from(await pulled.arrayBuffer()), bytes);
});
