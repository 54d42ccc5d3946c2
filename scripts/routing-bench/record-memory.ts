import { randomBytes } from 'node:crypto';
import { ProviderStore } from '../../lib/routing/dht/provider-store.ts';

/**
 * Prints the bytes of heap that 100,000 records take, with a given mean number of holders per key.
 * Its process needs --expose-gc.
 */
const RECORDS = 100_000;
const HOSTS = 100;
const holders = Number(process.argv[2] ?? 1);

const hosts = Array.from({ length: HOSTS }, (_, index) => ({
  peerId: `host-${index}`,
  id: randomBytes(38),
  addresses: [randomBytes(8)],
}));
const heap = () => {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

const records = new ProviderStore();
const before = heap();
for (let key = 0; key < RECORDS / holders; key += 1) {
  const multihash = randomBytes(34);
  for (let holder = 0; holder < holders; holder += 1) {
    const host = hosts[(key + holder) % HOSTS];
    if (host !== undefined) records.add(multihash, host, 600_000);
  }
}
process.stdout.write(`${JSON.stringify({ bytes: heap() - before, records: records.size })}\n`);
