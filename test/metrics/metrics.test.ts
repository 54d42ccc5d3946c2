import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from '../../lib/metrics/metrics.ts';

/** Type and labels of all metrics. The first group is the same as Go Spegel's. */
const EXPECTED: readonly [string, 'counter' | 'gauge' | 'histogram', string[]][] = [
  ['spegel_mirror_requests_total', 'counter', ['registry', 'cache', 'source']],
  ['spegel_mirror_last_success_timestamp_seconds', 'gauge', []],
  ['spegel_resolve_duration_seconds', 'histogram', ['router']],
  ['spegel_advertised_images', 'gauge', ['registry']],
  ['spegel_advertised_image_tags', 'gauge', ['registry']],
  ['spegel_advertised_image_digests', 'gauge', ['registry']],
  ['spegel_advertised_keys', 'gauge', ['registry']],
  ['http_request_duration_seconds', 'histogram', ['handler', 'method', 'code']],
  ['http_response_size_bytes', 'histogram', ['handler', 'method', 'code']],
  ['http_requests_inflight', 'gauge', ['handler']],
  ['spegel_served_bytes_total', 'counter', ['source', 'result']],
  ['spegel_relayed_bytes_total', 'counter', ['result']],
  ['spegel_relay_handovers_total', 'counter', ['reason']],
  ['spegel_peer_requests_total', 'counter', ['result']],
  ['spegel_inflight_served_bytes_total', 'counter', ['result']],
  ['spegel_inflight_waits_total', 'counter', ['result']],
  ['spegel_inflight_leads_total', 'counter', []],
  ['spegel_inflight_reassignments_total', 'counter', ['reason']],
  ['spegel_upstream_failures_total', 'counter', ['registry', 'reason']],
  ['spegel_mirror_settings', 'gauge', ['state']],
  ['spegel_peers', 'gauge', []],
  ['spegel_identity_conflict', 'gauge', []],
];

function useAll({ instruments: i }: Metrics): void {
  const http = { handler: 'registry', method: 'GET', code: '200' };
  i.mirrorRequests.inc({ registry: 'docker.io', cache: 'hit', source: 'internal' });
  i.mirrorLastSuccess.set({}, 1_700_000_000);
  i.resolveDuration.observe({ router: 'libp2p' }, 0.002);
  i.advertisedImages.set({ registry: 'docker.io' }, 1);
  i.advertisedImageTags.set({ registry: 'docker.io' }, 2);
  i.advertisedImageDigests.set({ registry: 'docker.io' }, 3);
  i.advertisedKeys.set({ registry: 'docker.io' }, 4);
  i.requestDuration.observe(http, 0.3);
  i.responseSize.observe(http, 5_000);
  i.requestsInflight.set({ handler: 'registry' }, 1);
  i.servedBytes.inc({ source: 'external', result: 'complete' }, 1_000_000);
  i.relayedBytes.inc({ result: 'cut' }, 10);
  i.handovers.inc({ reason: 'silent' });
  i.peerRequests.inc({ result: 'refused' });
  i.inflightServedBytes.inc({ result: 'complete' }, 5);
  i.inflightWaits.inc({ result: 'vain' });
  i.inflightLeads.inc({});
  i.inflightReassignments.inc({ reason: 'better' });
  i.upstreamFailures.inc({ registry: 'docker.io', reason: 'rate_limited' });
  i.mirrorSettings.set({ state: 'present' }, 2);
  i.peers.set({}, 7);
  i.identityConflict.set({}, 1);
}

test('every instrument is there under its name, type and labels', async () => {
  const metrics = new Metrics();
  useAll(metrics);
  const { contentType, body } = await metrics.text();
  assert.match(contentType, /^text\/plain; version=0\.0\.4/);
  assert.equal(EXPECTED.length, Object.keys(metrics.instruments).length);
  for (const [name, type, labels] of EXPECTED) {
    assert.match(body, new RegExp(`^# TYPE ${name} ${type}$`, 'm'));
    const sample = type === 'histogram' ? `${name}_count` : name;
    const [, found = ''] =
      new RegExp(`^${sample}(?:\\{(.*)\\})? `, 'm').exec(body) ?? assert.fail(name);
    assert.deepEqual(
      found.split(',').flatMap((pair) => pair.split('=')[0] || []),
      labels,
      name,
    );
  }
});

test('values are counted', async () => {
  const metrics = new Metrics();
  useAll(metrics);
  useAll(metrics);
  const { body } = await metrics.text();
  const lines = [
    'spegel_mirror_requests_total{registry="docker.io",cache="hit",source="internal"} 2',
    'spegel_served_bytes_total{source="external",result="complete"} 2000000',
    'spegel_peers 7',
    'spegel_resolve_duration_seconds_bucket{le="0.0025",router="libp2p"} 2',
  ];
  for (const line of lines) assert.ok(body.includes(`\n${line}\n`), line);
});

test("buckets are Go Spegel's: 1 KiB to 2 GB of response, 5 ms to 10 s of request", async () => {
  const metrics = new Metrics();
  useAll(metrics);
  const { body } = await metrics.text();
  const bounds = (name: string) =>
    [...body.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"`, 'gm'))].map(([, le]) => le);
  assert.deepEqual(bounds('http_response_size_bytes'), [
    '1024',
    '5120',
    '25600',
    '128000',
    '640000',
    '3200000',
    '16000000',
    '80000000',
    '400000000',
    '2000000000',
    '+Inf',
  ]);
  const seconds = [
    '0.005',
    '0.01',
    '0.025',
    '0.05',
    '0.1',
    '0.25',
    '0.5',
    '1',
    '2.5',
    '5',
    '10',
    '+Inf',
  ];
  assert.deepEqual(bounds('http_request_duration_seconds'), seconds);
  const resolve = bounds('spegel_resolve_duration_seconds');
  assert.deepEqual(
    seconds.filter((bound) => !resolve.includes(bound)),
    [],
  );
});

test("the process's own metrics are there", async () => {
  const { body } = await new Metrics().text();
  const names = [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'process_open_fds',
    'process_start_time_seconds',
    'nodejs_eventloop_lag_seconds',
    'nodejs_heap_size_used_bytes',
  ];
  for (const name of names) assert.match(body, new RegExp(`^${name} [\\d.]`, 'm'));
});

test('two daemons in one process count apart', async () => {
  const [one, other] = [new Metrics(), new Metrics()];
  one.instruments.peers.set({}, 1);
  other.instruments.peers.set({}, 2);
  assert.match((await one.text()).body, /^spegel_peers 1$/m);
  assert.match((await other.text()).body, /^spegel_peers 2$/m);
});

test('a label that tries to break out of its line stays in it', async () => {
  const metrics = new Metrics();
  metrics.instruments.advertisedKeys.set({ registry: 'a"} 1\nspegel_peers 9' }, 1);
  assert.doesNotMatch((await metrics.text()).body, /^spegel_peers 9/m);
});
