import { BlockList, isIP, isIPv4 } from 'node:net';
import { canonicalIp, isUnspecified } from './address.ts';

/**
 * A range of IP addresses in CIDR notation (RFC 4632, RFC 4291): the first `prefix` bits of
 * `address`.
 */
export interface Subnet {
  /** In its canonical spelling; bits behind the prefix do not count. */
  readonly address: string;
  /** 0..32 for IPv4, 0..128 for IPv6. */
  readonly prefix: number;
}

const FORM = /^([^/%]+)(?:\/(0|[1-9]\d{0,2}))?$/;
const MAPPED_BITS = 96;

/**
 * Parses `10.0.3.0/24`, `fd00::/8`, or one address. An IPv4-mapped range becomes the IPv4 range.
 * Undefined for anything else, and for `0.0.0.0` or `::` without a prefix: no client comes from
 * there.
 */
export function parseSubnet(text: string): Subnet | undefined {
  const [, written = '', digits] = FORM.exec(text) ?? [];
  const version = isIP(written);
  if (version === 0) return undefined;
  const address = canonicalIp(written);
  if (digits === undefined && isUnspecified(address)) return undefined;
  const isMapped = version === 6 && isIPv4(address);
  const bits = isIPv4(address) ? 32 : 128;
  const given = digits === undefined ? bits : Number(digits);
  const prefix = isMapped && digits !== undefined ? given - MAPPED_BITS : given;
  return prefix >= 0 && prefix <= bits ? { address, prefix } : undefined;
}

/** Tells whether an address is in one of some subnets. */
export class Subnets {
  /** One for each family: in a common one, `::/0` would hold IPv4 addresses, too. */
  readonly #lists = { ipv4: new BlockList(), ipv6: new BlockList() };

  constructor(subnets: readonly Subnet[]) {
    for (const { address, prefix } of subnets) {
      const family = familyOf(address);
      this.#lists[family].addSubnet(address, prefix, family);
    }
  }

  /** `ip` is canonical. */
  has(ip: string): boolean {
    const family = familyOf(ip);
    return isIP(ip) !== 0 && this.#lists[family].check(ip, family);
  }
}

function familyOf(ip: string): 'ipv4' | 'ipv6' {
  return isIPv4(ip) ? 'ipv4' : 'ipv6';
}
