/**
 * A program: asks this host's Spegel as its containerd would, again and again, each time over a new
 * connection. Arguments: URLs, in turn. Prints Waits as JSON after each answer.
 */
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Waits {
  readonly asked: number;
  /** Statuses other than 200, and errors. */
  readonly bad: readonly string[];
  /** From the question to the last byte of the answer. */
  readonly longestMs: number;
}

const PAUSE_MS = 50;
const TIMEOUT_MS = 20_000;

const urls = process.argv.slice(2);
const bad: string[] = [];
let longestMs = 0;
for (let asked = 1; ; asked += 1) {
  const started = performance.now();
  const status = await ask(urls[asked % urls.length] ?? '');
  longestMs = Math.max(longestMs, performance.now() - started);
  if (status !== '200') bad.push(status);
  process.stdout.write(`${JSON.stringify({ asked, bad, longestMs })}\n`);
  await sleep(PAUSE_MS);
}

function ask(url: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const options = { agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) };
  get(url, options, (answer) => {
    answer.on('error', (error) => resolve(String(error)));
    answer.on('end', () => resolve(String(answer.statusCode)));
    answer.resume();
  }).on('error', (error) => resolve(String(error)));
  return promise;
}
