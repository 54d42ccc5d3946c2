import type { ListenAddress } from '../base/address.ts';
import type { BootstrapPeer } from './peer.ts';

export type BootstrapKind = 'static' | 'dns' | 'http' | 'mdns';

/** Which lists of first peers there are; a list whose kind is not named is not used. */
export interface BootstrapSettings {
  readonly kinds: readonly BootstrapKind[];
  readonly staticPeers: readonly BootstrapPeer[];
  readonly staticPeersFile: string | undefined;
  readonly dnsDomain: { readonly host: string; readonly port: number | undefined } | undefined;
  /** Where `/id` is served, undefined: nowhere. */
  readonly httpAddress: ListenAddress | undefined;
  /** Full URLs, `/id` included. */
  readonly httpUrls: readonly string[];
}
