/**
 * A node that lies. A program, started inside of a host's network namespace: `evil-node.ts SPEC`,
 * SPEC being an EvilSpec as JSON. It speaks the fleet's own protocols, so the fleet finds it, and
 * answers faster than any honest host. POST of a Learned to its control port: it claims that
 * content from now on. GET: its EvilDeeds.
 */
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '../../lib/oci/digest.ts';
import { EvilIdentity } from './evil-identity.ts';
import { EvilRegistry } from './evil-registry.ts';
import { EVIL_CONTROL_PORT, type EvilDeeds, type EvilSpec, type Learned } from './evil-spec.ts';

const REPORT_MS = 1_000;
/** What it claims anew under a new identity, or reports: the content that is being pulled now. */
const LATELY = 64;

const spec = JSON.parse(process.argv[2] ?? '') as EvilSpec;
const registry = new EvilRegistry(spec);
const identities: EvilIdentity[] = [];
let claimed: Digest[] = [];
let had = 0;

for (let number = 0; number < spec.identities; number += 1) {
  await begin(number);
  const port = identities[number]?.registryPort ?? 0;
  registry.listen(port, () => identities[number]?.peerId ?? '');
}
if (spec.identityMs > 0) void change();
setInterval(() => {
  for (const identity of identities) identity.report(claimed, 1_000_000);
}, REPORT_MS);

createServer((request, response) => {
  void (async () => {
    if (request.method === 'POST') learn(JSON.parse(await text(request)) as Learned);
    const deeds: EvilDeeds = {
      lies: Object.fromEntries(registry.lies),
      truths: Object.fromEntries(registry.truths),
      identities: had,
    };
    response.end(JSON.stringify(deeds));
  })();
}).listen(EVIL_CONTROL_PORT);

async function begin(number: number): Promise<void> {
  const identity = new EvilIdentity(spec, number, () => identities.map(({ peerId }) => peerId));
  await identity.start();
  identities[number] = identity;
  had += 1;
  identity.claim(claimed);
}

async function change(): Promise<void> {
  for (let turn = 0; ; turn += 1) {
    await sleep(spec.identityMs);
    const number = turn % spec.identities;
    await identities[number]?.stop();
    await begin(number);
  }
}

function learn(learned: Learned): void {
  registry.learn(learned);
  const digests = [...learned.manifests, ...learned.blobs] as Digest[];
  claimed = [...claimed, ...digests].slice(-LATELY);
  for (const identity of identities) identity.claim(digests);
}
