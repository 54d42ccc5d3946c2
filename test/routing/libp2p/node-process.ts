import { startNode } from './fleet.ts';

/** A node in a process of its own, so that a test can freeze or kill it. Arguments: its bootstrap peers. */
const node = await startNode({ after: () => {} }, { peers: process.argv.slice(2) });
node.router.advertise(['frozen:held']);
process.stdout.write(`${JSON.stringify({ endpoint: node.endpoint, id: node.router.peerId })}\n`);
