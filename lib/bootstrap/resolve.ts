import { lookup } from 'node:dns/promises';
import { untilAborted } from '../base/abortable.ts';
import { canonicalIp } from '../base/address.ts';
import { ConcurrencyLimit } from '../base/concurrency-limit.ts';

/** All addresses of a DNS name in one family. */
export type ResolveName = (name: string, family: 4 | 6) => Promise<readonly string[]>;

/**
 * Each getaddrinfo takes a thread of libuv's pool, which serves in the order of arrival. More at
 * once would keep other lookups of this process waiting.
 */
const MAX_OPEN = 4;

/**
 * The system's resolver, so /etc/hosts counts. A question that is still open is not asked again:
 * getaddrinfo cannot be cancelled, and rounds of joining would pile up calls behind a name server
 * that hangs.
 */
export function systemResolver(): ResolveName {
  const asked = new Map<string, Promise<readonly string[]>>();
  const places = new ConcurrencyLimit(MAX_OPEN);
  const ask = (name: string, family: 4 | 6) =>
    places.run(async () => {
      try {
        const found = await lookup(name, { all: true, family });
        return found.map(({ address }) => address);
      } finally {
        asked.delete(`${family} ${name}`);
      }
    });
  return (name, family) => {
    const key = `${family} ${name}`;
    const asking = asked.get(key) ?? ask(name, family);
    asked.set(key, asking);
    return asking;
  };
}

/**
 * The addresses of a name, canonical, by one question per family: a server that leaves AAAA
 * unanswered, as some do, must not keep the IPv4 addresses from us. Rejects when no family has any;
 * when the signal is aborted, what is there by then is all.
 */
export async function resolveFamilies(
  resolve: ResolveName,
  name: string,
  families: readonly (4 | 6)[],
  signal: AbortSignal,
): Promise<string[]> {
  const answers = await Promise.allSettled(
    families.map((family) => untilAborted(resolve(name, family), signal)),
  );
  const ips = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const failed = answers.find((answer) => answer.status === 'rejected');
  if (ips.length === 0 && failed !== undefined) throw failed.reason;
  return [...new Set(ips.map(canonicalIp))];
}
