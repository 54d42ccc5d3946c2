import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { canonicalIp, formatHostPort, type HostPort, isUnspecified } from '../base/address.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import { MAX_TARGETS, RESOLVER_SILENCE_MS } from './constants.ts';

/** A host that did not answer yes, and why, for a person. */
export interface MissingHost extends HostPort {
  readonly reason: string;
}

/** All addresses of a DNS name. */
export type ResolveHost = (name: string) => Promise<readonly string[]>;

/** Resolves as other programs of the host do: with /etc/hosts, IPv4 and IPv6. */
const systemResolve: ResolveHost = async (name) => {
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
};

/** Finds the addresses of a list of names and addresses, anew for each round. */
export class ProbeTargets {
  readonly #endpoints: readonly HostPort[];
  readonly #resolve: ResolveHost;
  /** getaddrinfo cannot be cancelled, so a round joins a lookup that hangs since the last one. */
  readonly #pending = new Map<string, Promise<readonly string[] | string>>();

  /** `resolve`: tests give their own. */
  constructor(endpoints: readonly HostPort[], resolve: ResolveHost = systemResolve) {
    this.#endpoints = endpoints;
    this.#resolve = resolve;
  }

  /**
   * Every address once, and the names without an address, or that cannot be looked up. When the
   * resolver says nothing for 5 s, or the signal is aborted, names without an answer are missing.
   * Never rejects.
   */
  async find(signal: AbortSignal): Promise<{
    readonly targets: readonly HostPort[];
    readonly missing: readonly MissingHost[];
  }> {
    const names = this.#endpoints.map(({ host }) => host).filter((host) => isIP(host) === 0);
    const found = await this.#lookUpAll(new Set(names), signal);
    const targets = new Map<string, HostPort>();
    const missing: MissingHost[] = [];
    for (const { host, port } of this.#endpoints) {
      const ips = isIP(host) === 0 ? (found.get(host) ?? unanswered(signal)) : [host];
      const reason = typeof ips === 'string' ? ips : problemOf(ips, targets.size);
      if (reason !== undefined) missing.push({ host, port, reason });
      else for (const ip of ips) targets.set(formatHostPort(ip, port), { host: ip, port });
    }
    return { targets: [...targets.values()], missing };
  }

  /** For each name with an answer in time, its addresses or the reason that it has none. */
  async #lookUpAll(
    names: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, readonly string[] | string>> {
    const found = new Map<string, readonly string[] | string>();
    const over = Promise.withResolvers<void>();
    // A limit for silence, not for all: libuv looks up two names at a time, so a long list is slow.
    const end = () => over.resolve();
    const silence = setTimeout(end, RESOLVER_SILENCE_MS);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    let isOver = false;
    const work = [...names].map(async (name) => {
      const result = await this.#lookUp(name);
      if (isOver) return;
      found.set(name, result);
      silence.refresh();
    });
    try {
      await Promise.race([Promise.all(work), over.promise]);
      return found;
    } finally {
      isOver = true;
      clearTimeout(silence);
      signal.removeEventListener('abort', end);
    }
  }

  #lookUp(name: string): Promise<readonly string[] | string> {
    const running = this.#pending.get(name);
    if (running !== undefined) return running;
    const lookUp = this.#resolve(name)
      .then((ips) => ips.map(canonicalIp), reasonOf)
      .finally(() => this.#pending.delete(name));
    this.#pending.set(name, lookUp);
    return lookUp;
  }
}

function unanswered(signal: AbortSignal): string {
  return signal.aborted
    ? 'no answer from the resolver yet'
    : `no answer from the resolver within ${RESOLVER_SILENCE_MS / 1_000} s`;
}

/** What is wrong with the addresses of a name. Too many are: some left out would count as done. */
function problemOf(ips: readonly string[], before: number): string | undefined {
  if (ips.length === 0) return 'resolves to no address';
  // The answer of a resolver that blocks the name; Linux would connect it to this host.
  const unspecified = ips.find(isUnspecified);
  if (unspecified !== undefined) return `resolves to ${unspecified}, which is no host`;
  return before + ips.length > MAX_TARGETS ? `more than ${MAX_TARGETS} addresses` : undefined;
}

function reasonOf(error: unknown): string {
  const code = codeOf(error) ?? '';
  if (code === 'ENOTFOUND' || code === 'ENODATA') return 'name does not resolve';
  return code === 'EAI_AGAIN' ? 'the resolver cannot be reached' : messageOf(error);
}
