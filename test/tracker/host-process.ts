import { startHost } from './inflight-fleet.ts';

/**
 * A host in a process of its own, so that a test can freeze or kill it. Arguments: its bootstrap
 * peers.
 */
const { node, id } = await startHost({ after: () => {} }, process.argv.slice(2));
process.stdout.write(`${JSON.stringify({ endpoint: node.endpoint, id })}\n`);
