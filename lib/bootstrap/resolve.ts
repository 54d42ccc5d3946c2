import { lookup } from 'node:dns/promises';
import { untilAborted } from '../base/abortable.ts';
import { canonicalIp } from '../base/address.ts';
import { ConcurrencyLimit } from '../base/concurrency-limit.ts';
import { MAX_OPEN_LOOKUPS } from './constants.ts';

/** Resolves with all addresses of a DNS name in one family. */
export type ResolveName = (name: string, family: 4 | 6) => Promise<readonly string[]>;

/**
 * The system's resolver, which reads /etc/hosts too. A question that is still open is not asked
 * again: getaddrinfo cannot be cancelled, and calls would pile up behind a name server that hangs.
 */
export function systemResolver(): ResolveName {
  const asked = new Map<string, Promise<readonly string[]>>();
  const places = new ConcurrencyLimit(MAX_OPEN_LOOKUPS);
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
 * The canonical addresses of a name, asked for with one question per family: some servers never
 * answer for AAAA, and the IPv4 addresses must not wait for that. When the signal is aborted,
 * returns what is known. Rejects if that is nothing and a question failed.
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
