import { MAX_ADDRESSES_PER_PEER } from '../constants.ts';
import type { RoutingTable } from '../dht/routing-table.ts';
import { type RegistryAddressSettings, registryAddresses } from '../registry-address.ts';
import type { Candidate } from '../router.ts';
import type { WirePeer } from '../wire-peer.ts';
import { peerIdText, unionAddresses } from '../wire-peer.ts';

export interface CandidateContext extends RegistryAddressSettings {
  readonly table: RoutingTable;
  /** This node's peer id as text. */
  readonly self: string;
  /** Whether a peer was seen to be gone. */
  readonly isGone: (peer: string) => boolean;
}

/**
 * The candidate that a provider is; undefined for this node, for one that is gone and for one without an acceptable
 * address. What a peer of ours told us itself counts; for others also what is said of them, and that first.
 */
export function candidateOf(
  { id, addresses }: WirePeer,
  { table, self, isGone, ...settings }: CandidateContext,
): Candidate | undefined {
  const peerId = peerIdText(id);
  if (peerId === undefined || peerId === self || isGone(peerId)) return undefined;
  const known = table.get(peerId);
  const all =
    known?.isOurs === true
      ? known.addresses
      : unionAddresses([addresses, known?.addresses ?? []], MAX_ADDRESSES_PER_PEER);
  const found = registryAddresses(all, known?.isOurs, settings);
  return found.length === 0 ? undefined : { peerId, addresses: found };
}
