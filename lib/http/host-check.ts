import { isIPv4, isIPv6 } from 'node:net';
import { isDnsName } from '../base/address.ts';
import type { Logger } from '../base/log.ts';
import { LogRateLimit } from '../base/log-rate-limit.ts';
import { printable } from '../base/printable.ts';
import { OwnNames } from './own-names.ts';

export interface HostCheckParts {
  readonly log: Logger;
  /** The names of this host; tests say so. */
  readonly names?: { has(name: string): boolean };
}

/**
 * Refuses requests that name another host in `Host`: a web page whose name leads to this host by DNS
 * would otherwise be one of ours to the browser, and could read what hosts have and have them fetch
 * (DNS rebinding). Only a name can be bent so, and only one in the public DNS.
 */
export class HostCheck {
  readonly #log: Logger;
  readonly #names: { has(name: string): boolean };
  readonly #warnings = new LogRateLimit(WARN_MS, MAX_WARNINGS);

  constructor({ log, names = new OwnNames() }: HostCheckParts) {
    this.#log = log;
    this.#names = names;
  }

  /** Why a request with this `Host` is refused, for a person; undefined when it is not. */
  refusal(host: string | undefined, address: string | undefined): string | undefined {
    // A health check of HTTP/1.0 sends none; a browser always does.
    if (host === undefined || host === '') return undefined;
    const name = nameIn(host);
    // Behind NAT or a load balancer, an address that we do not have leads here.
    if (isIPv4(name) || isIPv6(name) || isPrivate(name) || this.#names.has(name)) return undefined;
    const told = printable(host, MAX_SHOWN);
    const notTold = this.#warnings.admit(name);
    if (notTold !== undefined) {
      const fields = { host: told, address, advice: ADVICE, notTold };
      this.#log.warn('request for another host refused', fields);
    }
    return `expected an IP address or a name of this host, got "${told}"; ${ADVICE}`;
  }
}

/** Without port, brackets and a dot at the end, in lower case. */
function nameIn(host: string): string {
  const [, bracketed, plain = ''] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? [];
  return (bracketed ?? plain.replace(/\.$/, '')).toLowerCase();
}

/** In no public DNS: names without a dot, and below a top level that is nobody's. */
function isPrivate(name: string): boolean {
  if (!isDnsName(name)) return false;
  const labels = name.split('.');
  return labels.length === 1 || name.endsWith('.home.arpa') || PRIVATE.has(labels.at(-1) ?? '');
}

/** RFC 6762 (`local`) and its appendix G; home.arpa is of RFC 8375. */
const PRIVATE: ReadonlySet<string> = new Set([
  'local',
  'intranet',
  'internal',
  'private',
  'corp',
  'home',
  'lan',
]);

const ADVICE = "ask by address, or give that name an address of this host's own in its /etc/hosts";

const MAX_SHOWN = 100;
const WARN_MS = 60_000;
/** Names per period: strangers can send any number of them. */
const MAX_WARNINGS = 16;
