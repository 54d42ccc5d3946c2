/**
 * Asks for a URL again and again over one kept connection, for so many milliseconds:
 *
 *     node scripts/bench/ask-again.ts URL MILLISECONDS
 *
 * Prints how many milliseconds each answer took, as JSON.
 */
import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const PAUSE_MS = 5;
const [url = '', ms = ''] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

/** Resolves when the whole answer is here; rejects unless it is 200. */
function ask(): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`${url}: ${answer.statusCode}`));
      answer.on('error', reject).on('end', resolve).resume();
    }).on('error', reject);
  });
}

const times: number[] = [];
// The first one opens the connection.
await ask();
for (const until = performance.now() + Number(ms); performance.now() < until; ) {
  const began = performance.now();
  await ask();
  times.push(performance.now() - began);
  await sleep(PAUSE_MS);
}
agent.destroy();
process.stdout.write(JSON.stringify(times));
