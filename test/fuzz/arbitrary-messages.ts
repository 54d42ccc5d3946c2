/** What peers send, as it should be, for fast-check. */

import { multiaddr } from '@multiformats/multiaddr';
import fc from 'fast-check';
import type { Digest } from '../../lib/oci/digest.ts';
import type { DhtMessage } from '../../lib/routing/dht/message.ts';
import type { WirePeer } from '../../lib/routing/wire-peer.ts';
import type { SourceAnswer } from '../../lib/tracker/assignment.ts';
import type { Receipt, TrackerMessage } from '../../lib/tracker/protocol.ts';

/** Peer ids as multihashes: Ed25519, SHA-256, and what only has their length. */
const peerId = fc.oneof(
  fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((key) => Buffer.concat([Buffer.from('002408011220', 'hex'), key])),
  fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((hash) => Buffer.concat([Buffer.from('1220', 'hex'), hash])),
  fc.uint8Array({ minLength: 1, maxLength: 80 }),
);

/** Multiaddrs, those that mean something else on each host among them. */
export const ADDRESSES = [
  '/ip4/10.1.2.3/tcp/5001',
  '/ip4/10.1.2.3/tcp/5000/http',
  '/ip6/fd00::1/tcp/5001',
  '/ip6/::ffff:169.254.169.254/tcp/80',
  '/ip6/64:ff9b::a9fe:a9fe/tcp/80/http',
  '/ip6/fe80::1/tcp/5001',
  '/ip6zone/eth0/ip6/fe80::1/tcp/5001',
  '/ip4/127.0.0.1/tcp/5001',
  '/ip4/0.0.0.0/tcp/0',
  '/ip4/224.0.0.251/tcp/5353',
  '/dns4/example.com/tcp/5001',
  '/ip4/10.1.2.3/udp/4001/quic-v1',
  '/ip4/10.1.2.3/tcp/5001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N',
  '/unix/%2Ftmp%2Fsocket',
];
export const address: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.constantFrom(...ADDRESSES.map((text) => multiaddr(text).bytes)),
  fc.uint8Array({ minLength: 1, maxLength: 40 }),
);

export const wirePeer: fc.Arbitrary<WirePeer> = fc.record({
  id: peerId,
  addresses: fc.array(address, { maxLength: 4 }),
});

/** With every member, as `decodeMessage` gives it. */
export const dhtMessage: fc.Arbitrary<DhtMessage> = fc.record({
  type: fc.oneof(fc.constantFrom(2, 3, 4, 5), fc.integer({ min: -0x80000000, max: 0x7fffffff })),
  key: fc.uint8Array({ maxLength: 80 }),
  closer: fc.array(wirePeer, { maxLength: 5 }),
  providers: fc.array(wirePeer, { maxLength: 3 }),
  validitySeconds: fc.option(fc.nat(0xffffffff), { nil: undefined }),
  isLeaving: fc.boolean(),
});

const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex): Digest => `sha256:${hex}`);
const peer = fc.stringMatching(/^[0-9A-Za-z]{1,128}$/);
const count = fc.maxSafeNat();
const pull = fc.record({ digest, have: count, source: fc.option(peer, { nil: undefined }) });

export const trackerMessage: fc.Arbitrary<TrackerMessage> = fc.oneof(
  fc.record({
    type: fc.constant('ask' as const),
    digest,
    have: count,
    failed: fc.array(peer, { maxLength: 16 }),
    isSmall: fc.boolean(),
  }),
  fc.record({ type: fc.constant('report' as const), pulls: fc.array(pull, { maxLength: 16 }) }),
  fc.record({ type: fc.constant('done' as const), digest }),
  fc.record({ type: fc.constant('gone' as const), digest, isSpoilt: fc.boolean() }),
);
const source = fc.record({ peer, isWhole: fc.boolean() });
export const trackerAnswer: fc.Arbitrary<SourceAnswer> = fc.oneof(
  fc.constant({ role: 'lead' as const }),
  fc.record({
    role: fc.constant('follow' as const),
    sources: fc.array(source, { minLength: 1, maxLength: 16 }),
    depth: count,
  }),
);
export const trackerReceipt: fc.Arbitrary<Receipt> = fc.record({
  ok: fc.constant(true),
  nextReportMs: count,
  again: fc.array(digest, { maxLength: 16 }),
});
