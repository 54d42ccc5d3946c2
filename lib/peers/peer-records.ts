import { MAX_PEER_RECORDS } from './constants.ts';
import { hostKeyOf, type PeerEndpoint, pairOf } from './endpoint.ts';
import type { Held, HeldRecord } from './held.ts';

/** A peer, and one thing that is held against it, if any. */
export type PeerRecord = HeldRecord | (PeerEndpoint & { readonly state: 'good' });

/**
 * What is known of each peer, for a status: for each address of its registry a record of every
 * thing that is held against it, or one that says `good`. Then come peers that are not in `known`.
 * At most MAX_PEER_RECORDS.
 */
export function peerRecords(
  known: readonly { readonly peerId: string; readonly registry: readonly string[] }[],
  held: readonly Held[],
): PeerRecord[] {
  const byKey = Map.groupBy(held, ({ key }) => key);
  const others = new Set(held);
  const records: PeerRecord[] = [];
  for (const { peerId, registry } of known) {
    for (const address of registry) {
      const endpoint = { peerId, address };
      const keys = [pairOf(endpoint), peerId, address, hostKeyOf(address)];
      const against = keys.flatMap((key) => byKey.get(key) ?? []);
      if (against.length === 0) records.push({ ...endpoint, state: 'good' });
      for (const one of against) {
        others.delete(one);
        records.push({ ...one.record, ...endpoint });
      }
    }
  }
  return [...records, ...[...others].map(({ record }) => record)].slice(0, MAX_PEER_RECORDS);
}
