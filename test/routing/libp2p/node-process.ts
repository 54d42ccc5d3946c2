import { startNode } from './fleet.ts';

/**
 * A node in a process of its own, so that a test can freeze or kill it. Argument: its options as
 * JSON.
 */
const options = JSON.parse(process.argv[2] ?? '{}');
const node = await startNode({ after: () => {} }, options);
node.router.advertise(['frozen:held']);
process.stdout.write(`${JSON.stringify({ endpoint: node.endpoint, id: node.router.peerId })}\n`);
