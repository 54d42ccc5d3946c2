import { networkInterfaces } from 'node:os';

/** Interfaces come and go with pods and VPNs; asking the kernel costs 0.1 ms, too much for every request. */
const CACHE_MS = 1_000;

/** Tells whether a connection comes from this very host: loopback, or an address of one of its interfaces. */
export class OwnAddresses {
  readonly #list: typeof networkInterfaces;
  #addresses: ReadonlySet<string> = new Set();
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(list: typeof networkInterfaces = networkInterfaces) {
    this.#list = list;
  }

  /** `address` as `socket.remoteAddress` gives it; undefined (the client is gone already) is nobody's. */
  has(address: string | undefined): boolean {
    if (address === undefined) return false;
    const plain = normalize(address);
    return plain.startsWith('127.') || plain === '::1' || this.#current().has(plain);
  }

  #current(): ReadonlySet<string> {
    const now = performance.now();
    if (now - this.#readAt >= CACHE_MS) {
      const infos = Object.values(this.#list()).flatMap((list) => list ?? []);
      this.#addresses = new Set(infos.map((info) => normalize(info.address)));
      this.#readAt = now;
    }
    return this.#addresses;
  }
}

/** A dual-stack socket shows IPv4 as `::ffff:a.b.c.d`; link-local addresses carry a zone (`%eth0`). */
function normalize(address: string): string {
  const zone = address.indexOf('%');
  const plain = (zone === -1 ? address : address.slice(0, zone)).toLowerCase();
  return plain.startsWith('::ffff:') && plain.includes('.') ? plain.slice('::ffff:'.length) : plain;
}
