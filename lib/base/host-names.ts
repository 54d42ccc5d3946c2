import { isDnsName } from './address.ts';

/** RFC 6761, 6.3. In lower case, without a dot at the end, here and below. */
export function isLocalhost(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost');
}

/** Whether a name is the host's own `hostname`, in full or its first part. */
export function isHostname(name: string, hostname: string): boolean {
  const own = hostname.toLowerCase();
  return name === own || name === own.split('.')[0];
}

/** What stands as an address before this name in the text of a hosts(5) file, in its order. */
export function addressesInHosts(text: string, name: string): string[] {
  const wanted = name.toLowerCase();
  return text.split('\n').flatMap((line) => {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    return names.some((one) => one.toLowerCase() === wanted) ? [address] : [];
  });
}

/** The domains of the search list in the text of a resolv.conf(5) file; the last such line counts. */
export function searchDomains(text: string): string[] {
  const [, list = ''] = [...text.matchAll(/^(?:search|domain)[ \t]+(.+)$/gm)].at(-1) ?? [];
  return list.trim().split(/\s+/).filter(isDnsName).slice(0, MAX_DOMAINS);
}

/** resolv.conf(5): glibc takes any number since 2.26; Go all of them. */
const MAX_DOMAINS = 6;
