/**
 * Peers that are dead, frozen, slow or hostile cost a pull seconds at the most while the upstream
 * is there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CircuitBreaker } from '../../lib/mirror/circuit-breaker.ts';
import type { UpstreamCheck } from '../../lib/mirror/mirror.ts';
import { goodHead, type serve, startPeer } from './raw-peer.ts';
import { assertSame, blob, blobPath, startNode } from './support.ts';

const upstreamKnown: UpstreamCheck = { known: () => true, answers: async () => true };
const MIB = 1024 * 1024;
/** Bound of what a hostile fleet may cost, with slack for a busy machine. */
const WORST_MS = 12_000;
/** Then the fleet is left alone. */
const MOST_PULLS = 4;

async function bodyOf(url: string): Promise<{ status: number; bytes: number; ms: number }> {
  const startedAt = performance.now();
  const response = await fetch(url);
  let bytes = 0;
  try {
    for await (const piece of response.body ?? []) bytes += piece.byteLength;
  } catch {
    // cut: what came counts
  }
  return { status: response.status, bytes, ms: performance.now() - startedAt };
}

test('losses are tolerated up to a bound, and forgiven with time', () => {
  let now = 0;
  const breaker = new CircuitBreaker(() => now);
  breaker.addLoss(2_900);
  assert.equal(breaker.isOpen, false);
  breaker.addLoss(10_000);
  assert.equal(breaker.isOpen, true);
  now += 29_000;
  assert.equal(breaker.isOpen, true);
  now += 2_000;
  assert.equal(breaker.isOpen, false);
});

test('what several layers lose at the same time is lost once', () => {
  let now = 10_000;
  const breaker = new CircuitBreaker(() => now);
  for (let layer = 0; layer < 4; layer += 1) {
    breaker.addLoss(1_200);
    now += 10;
  }
  assert.equal(breaker.isOpen, false);
  // One after the other they add up.
  for (let layer = 0; layer < 2; layer += 1) {
    now += 1_200;
    breaker.addLoss(1_200);
  }
  assert.equal(breaker.isOpen, true);
});

test('any number of peers that freeze in mid-body are given up for the upstream', async (t) => {
  const { bytes, digest } = blob(4 * MIB);
  const node = await startNode((stop) => t.after(stop), { upstream: upstreamKnown });
  const freezing = Array.from({ length: 20 }, (_, i) =>
    startPeer(
      (stop) => t.after(stop),
      (socket, head) => {
        const start = Number(/range: bytes=(\d+)-/i.exec(head)?.[1] ?? 0);
        socket.write(start === 0 ? goodHead(bytes.byteLength) : partHead(start, bytes.byteLength));
        socket.write(bytes.subarray(start, start + 1_000 * (i + 1)));
      },
    ),
  );
  node.router.candidates = await Promise.all(freezing);
  // On a busy machine one body may end before it has cost too much: nobody answers in time.
  let answer = await bodyOf(`${node.url}${blobPath(digest)}`);
  for (let pulls = 1; answer.status !== 404; pulls += 1) {
    assert.ok(pulls <= MOST_PULLS, `${pulls} pulls`);
    assert.ok(answer.bytes < bytes.byteLength);
    assert.ok(answer.ms < WORST_MS, `${answer.ms} ms`);
    answer = await bodyOf(`${node.url}${blobPath(digest)}`);
  }
});

function partHead(start: number, size: number): string {
  return `HTTP/1.1 206 P\r\nContent-Length: ${size - start}\r\nContent-Range: bytes ${start}-${size - 1}/${size}\r\n\r\n`;
}

test('a slow provider is left for the upstream, and kept when there is none', async (t) => {
  const { bytes, digest } = blob(2 * MIB);
  const drip = (socket: Parameters<ReturnType<typeof serve>>[0]) => {
    socket.write(goodHead(bytes.byteLength));
    let sent = 0;
    const timer = setInterval(() => {
      const fast = sent > 700_000;
      const end = fast ? bytes.byteLength : sent + 20_000;
      socket.write(bytes.subarray(sent, end));
      sent = end;
      if (sent === bytes.byteLength) clearInterval(timer);
    }, 100);
    socket.once('close', () => clearInterval(timer));
  };
  const there = await startNode((stop) => t.after(stop), { upstream: upstreamKnown });
  there.router.candidates = [await startPeer((stop) => t.after(stop), drip)];
  const cut = await bodyOf(`${there.url}${blobPath(digest)}`);
  assert.ok(cut.bytes > 0 && cut.bytes < bytes.byteLength, `${cut.bytes} bytes`);

  const alone = await startNode((stop) => t.after(stop));
  alone.router.candidates = [await startPeer((stop) => t.after(stop), drip)];
  const whole = await fetch(`${alone.url}${blobPath(digest)}`);
  assertSame(Buffer.from(await whole.arrayBuffer()), bytes);
});
