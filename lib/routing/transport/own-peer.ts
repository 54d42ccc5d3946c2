import { multiaddr } from '@multiformats/multiaddr';
import { isLoopback } from '../../base/address.ts';
import type { WirePeer } from '../wire-peer.ts';
import {
  type AnnounceSettings,
  announcedAddresses,
  type ReplacedIps,
  readKernelNetwork,
} from './announced-addresses.ts';

/** This node as its peers are told of it. The addresses are the host's, and may change while it runs. */
export class OwnPeer {
  readonly #settings: AnnounceSettings;
  #text = '';
  #announced: readonly string[] = [];
  #replaced: ReplacedIps = new Map();
  #wire: WirePeer = { id: new Uint8Array(0), addresses: [] };

  constructor(settings: AnnounceSettings) {
    this.#settings = settings;
  }

  /** Peer id; empty until `identify`. */
  get text(): string {
    return this.#text;
  }

  get wire(): WirePeer {
    return this.#wire;
  }

  /** Multiaddrs without `/p2p`. */
  get announced(): readonly string[] {
    return this.#announced;
  }

  /** True where this node announces loopback: only then is a peer's loopback this same machine's. */
  get isOnLoopback(): boolean {
    return isOnLoopback(this.#announced);
  }

  /** The multiaddrs that are announced now, with `/p2p`. */
  addresses(): string[] {
    return this.#announced.map((address) => `${address}/p2p/${this.#text}`);
  }

  /** Sets the id, as text and as multihash, and looks the addresses up. */
  identify(text: string, id: Uint8Array): void {
    this.#text = text;
    this.#wire = { id, addresses: [] };
    this.updateAddresses();
  }

  /** What is announced in place of an address that was found out. */
  get replaced(): ReplacedIps {
    return this.#replaced;
  }

  /**
   * Announces these in place of what was found out, and nothing else; true if others are announced
   * from now on.
   */
  replace(replaced: ReplacedIps): boolean {
    this.#replaced = replaced;
    return this.updateAddresses();
  }

  /** Looks the host's addresses up again; true if others are announced from now on. */
  updateAddresses(): boolean {
    const announced = announcedAddresses(this.#settings, readKernelNetwork(), this.#replaced);
    if (announced.join() === this.#announced.join()) return false;
    // Without its network a host has only loopback, which nobody else can use: it keeps what it had until it has another.
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
