import { multiaddr } from '@multiformats/multiaddr';
import { isLoopback } from '../../base/address.ts';
import type { WirePeer } from '../wire-peer.ts';
import {
  type AnnounceSettings,
  announcedAddresses,
  type ReplacedIps,
  readKernelNetwork,
} from './announced-addresses.ts';

/** This node as its peers see it. Its addresses are the host's, which may change while it runs. */
export class OwnPeer {
  readonly #settings: AnnounceSettings;
  #peerId = '';
  #announced: readonly string[] = [];
  #replaced: ReplacedIps = new Map();
  #wire: WirePeer = { id: new Uint8Array(0), addresses: [] };

  constructor(settings: AnnounceSettings) {
    this.#settings = settings;
  }

  /** Peer id; empty until `identify`. */
  get peerId(): string {
    return this.#peerId;
  }

  get wire(): WirePeer {
    return this.#wire;
  }

  /** Multiaddrs without `/p2p`. */
  get announced(): readonly string[] {
    return this.#announced;
  }

  /** True if this node announces loopback: only then is a peer's loopback on this machine. */
  get isOnLoopback(): boolean {
    return isOnLoopback(this.#announced);
  }

  /** The multiaddrs that are announced now, with `/p2p`. */
  addresses(): string[] {
    return this.#announced.map((address) => `${address}/p2p/${this.peerId}`);
  }

  /** Sets the id, as text and as multihash, and reads the host's addresses. */
  identify(text: string, id: Uint8Array): void {
    this.#peerId = text;
    this.#wire = { id, addresses: [] };
    this.updateAddresses();
  }

  /** The IPs that are announced instead of found ones. */
  get replaced(): ReplacedIps {
    return this.#replaced;
  }

  /** Sets all replacements of found IPs; true if the announced addresses changed. */
  replace(replaced: ReplacedIps): boolean {
    this.#replaced = replaced;
    return this.updateAddresses();
  }

  /** Reads the host's addresses again; true if the announced addresses changed. */
  updateAddresses(): boolean {
    const announced = announcedAddresses(this.#settings, readKernelNetwork(), this.#replaced);
    if (announced.join() === this.#announced.join()) return false;
    // Without its network a host has only loopback, which no other host can use: it keeps its
    // former addresses until it has new ones.
    if (this.#announced.length > 0 && !this.isOnLoopback && isOnLoopback(announced)) return false;
    this.#announced = announced;
    const addresses = announced.map((address) => multiaddr(address).bytes);
    this.#wire = { id: this.#wire.id, addresses };
    return true;
  }
}

function isOnLoopback(announced: readonly string[]): boolean {
  return announced.some((address) => isLoopback(address.split('/')[2] ?? ''));
}
