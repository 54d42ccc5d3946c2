import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { canonicalIp, formatHostPort, type HostPort, isUnspecified } from '../base/address.ts';
import { codeOf, messageOf } from '../base/errors.ts';

/** Somebody who did not answer, and why, in words for a person. */
export interface MissingHost extends HostPort {
  readonly reason: string;
}

/** All addresses of a DNS name. */
export type ResolveHost = (name: string) => Promise<readonly string[]>;

/** As the rest of the system resolves: /etc/hosts counts, A and AAAA both. */
const systemResolve: ResolveHost = async (name) => {
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
};

/** The resolver may be silent for so long while names are looked up; then it hangs. */
export const RESOLVE_SILENCE_MS = 5_000;

/** Of all names together. Larger fleets than any; a round of so many that are all dead takes 7 minutes. */
export const MAX_TARGETS = 4096;

/** Finds the addresses behind a list of names and addresses, anew each time. */
export class ProbeTargets {
  readonly #endpoints: readonly HostPort[];
  readonly #resolve: ResolveHost;
  /** getaddrinfo cannot be cancelled: a lookup that hangs is joined by the next one instead of adding to it. */
  readonly #pending = new Map<string, Promise<readonly string[] | string>>();

  /** `resolve`: the system's resolver unless a test brings its own. */
  constructor(endpoints: readonly HostPort[], resolve: ResolveHost = systemResolve) {
    this.#endpoints = endpoints;
    this.#resolve = resolve;
  }

  /**
   * Every address once, and the names that have none or cannot be looked up. Never rejects. Resolves when the
   * resolver has said nothing for 5 s, and at once when the signal is aborted: open names are missing then.
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

  /** Addresses or the reason that there are none, of each name that was answered in time. */
  async #lookUpAll(
    names: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, readonly string[] | string>> {
    const found = new Map<string, readonly string[] | string>();
    const over = Promise.withResolvers<void>();
    // Silence, not a deadline: libuv looks up two names at a time, so a long list takes its time.
    const end = () => over.resolve();
    const silence = setTimeout(end, RESOLVE_SILENCE_MS);
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
    : `no answer from the resolver within ${RESOLVE_SILENCE_MS / 1_000} s`;
}

/** What is wrong with the addresses of a name. Too many fail: leaving some out would count them as done. */
function problemOf(ips: readonly string[], before: number): string | undefined {
  if (ips.length === 0) return 'resolves to no address';
  // What a resolver that blocks a name says; Linux would connect it to this very host.
  const nobody = ips.find(isUnspecified);
  if (nobody !== undefined) return `resolves to ${nobody}, which is no host`;
  return before + ips.length > MAX_TARGETS ? `more than ${MAX_TARGETS} addresses` : undefined;
}

function reasonOf(error: unknown): string {
  const code = codeOf(error) ?? '';
  if (code === 'ENOTFOUND' || code === 'ENODATA') return 'name does not resolve';
  return code === 'EAI_AGAIN' ? 'the resolver cannot be reached' : messageOf(error);
}
