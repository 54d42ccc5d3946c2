import assert from 'node:assert/strict';
import { test } from 'node:test';
import { targetFindings } from '../../lib/install/mirror-advice.ts';

const listener = (host: string, port: number) => ({ option: 'REGISTRY_ADDR', host, port });

test('a target that can be the registry of this host is fine', () => {
  for (const [target, host, port] of [
    ['http://127.0.0.1:5000', '', 5000],
    ['http://127.0.0.1', '', 80],
    ['http://localhost:5555', '127.0.0.1', 5555],
    ['http://10.0.0.7:5000', '10.0.0.7', 5000],
    ['https://spegel.corp', '', 443],
    ['http://127.0.0.1:5000', '', 0],
  ] as const) {
    assert.deepEqual(targetFindings([target], listener(host, port)), [], target);
  }
});

test('targets of which none is, are told with the one that is', () => {
  for (const [target, host, line] of [
    ['http://127.0.0.1:5000', '', 'MIRROR_TARGETS=http://127.0.0.1:5555'],
    ['http://192.0.2.1:5555', '10.0.0.7', 'MIRROR_TARGETS=http://10.0.0.7:5555'],
    ['http://127.0.0.1:5000', '::1', 'MIRROR_TARGETS=http://localhost:5555'],
  ] as const) {
    const [finding] = targetFindings([target], listener(host, 5555));
    assert.deepEqual([finding?.kind, finding?.lines[0]], ['advice', line]);
  }
});
