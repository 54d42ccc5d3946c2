import type { ListenAddress } from '../base/address.ts';
import type { BootstrapPeer } from './peer.ts';

export type BootstrapKind = 'static' | 'dns' | 'http' | 'mdns';

/** The lists of first peers. A list is used only if `kinds` names its kind. */
export interface BootstrapSettings {
  readonly kinds: readonly BootstrapKind[];
  readonly staticPeers: readonly BootstrapPeer[];
  readonly staticPeersFile: string | undefined;
  readonly dnsDomain: { readonly host: string; readonly port: number | undefined } | undefined;
  /** Where `/id` is served; undefined: nowhere. */
  readonly httpAddress: ListenAddress | undefined;
  /** Full URLs, `/id` included. */
  readonly httpUrls: readonly string[];
}
