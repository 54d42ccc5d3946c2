import { isDnsName } from './address.ts';

/** The domains of the search list in the text of a resolv.conf(5) file; the last such line counts. */
export function searchDomains(text: string): string[] {
  const [, list = ''] = [...text.matchAll(/^(?:search|domain)[ \t]+(.+)$/gm)].at(-1) ?? [];
  return list.trim().split(/\s+/).filter(isDnsName).slice(0, MAX_DOMAINS);
}

/** resolv.conf(5): glibc takes any number since 2.26; Go all of them. */
const MAX_DOMAINS = 6;
