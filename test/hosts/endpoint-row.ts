/** What a row about a certs.d says, and what stands in many of them. */
import { file, type Tree } from './tree.ts';

export interface EndpointRow {
  readonly name: string;
  readonly registry: string;
  /**
   * Below certs.d. In texts `$ADDR` stands for an address of this host, `$CERTS` for a directory of
   * certificates.
   */
  readonly files: Tree;
  /**
   * How we read it: one line for each place that is asked for a tag, without this daemon. Behind
   * the URL stands what goes with it: `ns`, `or-http` (where no TLS is spoken), `skip` (no
   * verification), `ca=`, `client=`, headers.
   */
  readonly asks: readonly string[];
  /** By version of containerd: parts of the requests that this one, as we know, does not send. */
  readonly lacks?: Readonly<Record<string, readonly string[]>>;
}

/** A registry that speaks TLS which the system trusts, at ports 443 and 5443. */
export const REG = 'reg.test';
export const ITSELF = 'https://reg.test/v2';
/** Hosts without TLS at 127.0.0.1. */
export const PLAIN = 'http://127.0.0.1:5101';
export const PLAIN_2 = 'http://127.0.0.1:5102';
/**
 * A host with TLS that nobody trusts unless told, and that knows its clients by their certificates.
 */
export const PRIVATE = 'https://127.0.0.1:6443';
/** Every request. */
export const ALL = [''];
export const BEFORE_2_0 = (...parts: readonly string[]) => ({ '1.6': parts, '1.7': parts });
export const FROM_2_0 = (...parts: readonly string[]) => ({
  '2.1': parts,
  '2.2': parts,
  '2.3': parts,
  '2.4': parts,
});
export const EVERY = { ...BEFORE_2_0(...ALL), ...FROM_2_0(...ALL) };

/** A row about one hosts.toml of REG. */
export function row(
  name: string,
  text: string,
  asks: readonly string[],
  more: Partial<EndpointRow> = {},
): EndpointRow {
  return { name, registry: REG, files: { 'reg.test/hosts.toml': file(text) }, asks, ...more };
}

/** A row about one host of a hosts.toml, asked before the registry itself. */
export function host(
  name: string,
  url: string,
  table: string,
  asked: readonly string[],
  more: Partial<EndpointRow> = {},
): EndpointRow {
  return row(name, `[host."${url}"]\n${table}\n`, [...asked, ITSELF], more);
}
