import { isIPv4, isIPv6 } from 'node:net';
import { isDnsName } from '../base/address.ts';
import type { Logger } from '../base/log.ts';
import { LogRateLimit } from '../base/log-rate-limit.ts';
import { printable } from '../base/printable.ts';
import { HOST_WARNING_PERIOD_MS, MAX_HOST_WARNINGS, MAX_SHOWN_HOST } from './constants.ts';
import { OwnNames } from './own-names.ts';

export interface HostCheckParts {
  readonly log: Logger;
  /** The names of this host; tests give their own. */
  readonly names?: { has(name: string): boolean };
}

/**
 * Refuses requests that name another host in `Host` (DNS rebinding). Without it a web page with a
 * name that its owner lets lead to this host would count as ours to the browser: it could read what
 * hosts have, and have them fetch. Only a name in the public DNS can be used so.
 */
export class HostCheck {
  readonly #log: Logger;
  readonly #names: { has(name: string): boolean };
  readonly #warnings = new LogRateLimit(HOST_WARNING_PERIOD_MS, MAX_HOST_WARNINGS);

  constructor({ log, names = new OwnNames() }: HostCheckParts) {
    this.#log = log;
    this.#names = names;
  }

  /** Why a request with this `Host` is refused, for a person; undefined: it is not. */
  refusal(host: string | undefined, address: string | undefined): string | undefined {
    // A health check of HTTP/1.0 sends none; a browser always does.
    if (host === undefined || host === '') return undefined;
    const name = nameIn(host);
    // Behind NAT or a load balancer, an address that is not this host's leads here.
    if (isIPv4(name) || isIPv6(name) || isPrivate(name) || this.#names.has(name)) return undefined;
    const shown = printable(host, MAX_SHOWN_HOST);
    const notTold = this.#warnings.admit(name);
    if (notTold !== undefined) {
      const fields = { host: shown, address, advice: ADVICE, notTold };
      this.#log.warn('request for another host refused', fields);
    }
    return `expected an IP address or a name of this host, got "${shown}"; ${ADVICE}`;
  }
}

/** Without port, brackets and a dot at the end, in lower case. */
function nameIn(host: string): string {
  const [, bracketed, plain = ''] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? [];
  return (bracketed ?? plain.replace(/\.$/, '')).toLowerCase();
}

/** True for a name that is in no public DNS: without a dot, or below a private top level. */
function isPrivate(name: string): boolean {
  if (!isDnsName(name)) return false;
  const labels = name.split('.');
  const top = labels.at(-1) ?? '';
  return labels.length === 1 || name.endsWith('.home.arpa') || PRIVATE_TOP_LEVELS.has(top);
}

/** RFC 6762 (`local`) and its appendix G; home.arpa is of RFC 8375. */
const PRIVATE_TOP_LEVELS: ReadonlySet<string> = new Set([
  'local',
  'intranet',
  'internal',
  'private',
  'corp',
  'home',
  'lan',
]);

const ADVICE = "ask by address, or give that name an address of this host's own in its /etc/hosts";
