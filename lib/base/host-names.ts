import { isDnsName } from './address.ts';
import { MAX_SEARCH_DOMAINS } from './constants.ts';

/** True for `localhost` (RFC 6761, 6.3). Names are in lower case, without a dot at the end. */
export function isLocalhost(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost');
}

/** True when a name is the host's own `hostname`, in full or its first part. */
export function isHostname(name: string, hostname: string): boolean {
  const own = hostname.toLowerCase();
  return name === own || name === own.split('.')[0];
}

/** The addresses of a name in the text of a hosts(5) file, in its order, as written. */
export function addressesInHosts(text: string, name: string): string[] {
  const wanted = name.toLowerCase();
  return text.split('\n').flatMap((line) => {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    return names.some((one) => one.toLowerCase() === wanted) ? [address] : [];
  });
}

/** The search list in the text of a resolv.conf(5) file; of several lines the last one counts. */
export function searchDomains(text: string): string[] {
  const [, list = ''] = [...text.matchAll(/^(?:search|domain)[ \t]+(.+)$/gm)].at(-1) ?? [];
  return list.trim().split(/\s+/).filter(isDnsName).slice(0, MAX_SEARCH_DOMAINS);
}
