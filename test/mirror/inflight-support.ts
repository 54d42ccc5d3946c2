/**
 * What in-flight sharing needs of a host, in memory: a tracker's word, and content that grows as a
 * test lets it.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { untilAborted } from '../../lib/base/abortable.ts';
import type { Digest } from '../../lib/oci/digest.ts';
import type { Candidate } from '../../lib/routing/router.ts';
import type { InflightSource, InflightSources, Reader } from '../../lib/store/store.ts';
import type {
  InflightClient,
  JoinRequest,
  ResolvedAnswer,
} from '../../lib/tracker/tracker-client.ts';
import { blobPath, type Cleanup, type Node, type NodeOptions, startNode } from './support.ts';

/** A tracker that says what the test wants. */
export class FakeTrackerClient implements InflightClient {
  readonly joins: JoinRequest[] = [];
  /** The peers that bytes came from; undefined for the upstream. */
  readonly sources: (string | undefined)[] = [];
  rate: number | undefined;
  answer: (question: JoinRequest) => ResolvedAnswer | undefined = () => undefined;

  async join(question: JoinRequest): Promise<ResolvedAnswer | undefined> {
    this.joins.push(question);
    return this.answer(question);
  }

  setSource(_digest: Digest, peerId: string | undefined): void {
    this.sources.push(peerId);
  }

  /** Peers that it was told to be silent. */
  readonly silent: string[] = [];

  wasSilent(peerId: string): void {
    this.silent.push(peerId);
  }

  /** What all contents come to, in bytes per second. */
  flowing = 0;

  downloadRate(): number {
    return this.flowing;
  }

  upstreamRate(): number | undefined {
    return this.rate;
  }

  /** The tracker knows a better source: said once. */
  heldUp = false;

  isHeldUp(): boolean {
    const { heldUp } = this;
    this.heldUp = false;
    return heldUp;
  }

  /** Names those of them that were never given up; leads when none is left. */
  names(candidates: readonly Candidate[], isWhole = false): void {
    const given = new Set<string>();
    this.answer = ({ failed }) => {
      for (const peerId of failed) given.add(peerId);
      const left = candidates.filter(({ peerId }) => !given.has(peerId));
      return left.length === 0 ? { role: 'lead' } : follow(left, isWhole);
    };
  }
}

export function follow(candidates: readonly Candidate[], isWhole = false): ResolvedAnswer {
  const sources = candidates.map((candidate) => ({ candidate, isWhole }));
  return { role: 'follow', sources, depth: isWhole ? 0 : 1 };
}

/** One download. */
export class InflightDownload implements InflightSource {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType = undefined;
  readonly #bytes: Buffer;
  #have = 0;
  #gone: Error | undefined;
  #changed = Promise.withResolvers<void>();
  /** Readers that are open now. */
  readers = 0;

  constructor(digest: Digest, size: number) {
    this.digest = digest;
    this.size = size;
    this.#bytes = Buffer.alloc(size);
  }

  get have(): number {
    return this.#have;
  }

  append(piece: Uint8Array): void {
    this.#bytes.set(piece, this.#have);
    this.#have += piece.byteLength;
    this.#change();
  }

  /** Its readers end now. */
  vanish(reason = 'has vanished'): void {
    this.#gone = new Error(reason);
    this.#change();
  }

  get isGone(): boolean {
    return this.#gone !== undefined;
  }

  async available(): Promise<number> {
    if (this.#gone !== undefined) throw this.#gone;
    return this.#have;
  }

  async open(): Promise<Reader> {
    let isOpen = true;
    this.readers += 1;
    return {
      read: (buffer, position, signal) => this.#read(buffer, position, signal),
      close: async () => {
        if (isOpen) this.readers -= 1;
        isOpen = false;
      },
    };
  }

  async #read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number> {
    while (position >= this.#have && this.#gone === undefined) {
      await untilAborted(this.#changed.promise, signal);
    }
    if (this.#gone !== undefined) throw this.#gone;
    const piece = this.#bytes.subarray(
      position,
      Math.min(position + buffer.byteLength, this.#have),
    );
    buffer.set(piece);
    return piece.byteLength;
  }

  #change(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers();
    resolve();
  }
}

/** Downloads in memory. */
export class InflightMemory implements InflightSources {
  readonly downloads = new Map<Digest, InflightDownload>();

  begin(digest: Digest, size: number): InflightDownload {
    const download = new InflightDownload(digest, size);
    this.downloads.set(digest, download);
    return download;
  }

  async inflightSource(digest: Digest): Promise<InflightDownload | undefined> {
    const download = this.downloads.get(digest);
    return download?.isGone === false ? download : undefined;
  }

  async awaitInflightSource(digest: Digest, waitMs: number, signal: AbortSignal) {
    for (const until = performance.now() + waitMs; performance.now() < until; ) {
      const download = await this.inflightSource(digest);
      if (download !== undefined) return download;
      await delay(5, undefined, { signal });
    }
    return undefined;
  }

  isBarred(): boolean {
    return false;
  }

  expect(): void {}

  completeSize(): undefined {
    return undefined;
  }
}

export interface InflightNode extends Node {
  readonly tracker: FakeTrackerClient;
  readonly inflight: InflightMemory;
}

export async function startInflightNode(
  cleanup: Cleanup,
  options: Omit<NodeOptions, 'tracker' | 'inflight'> = {},
): Promise<InflightNode> {
  const tracker = new FakeTrackerClient();
  const inflight = new InflightMemory();
  const node = await startNode(cleanup, { ...options, tracker, inflight });
  return { ...node, tracker, inflight };
}

/**
 * A host that was told to lead: its containerd has been answered 404 and gets the content from the
 * upstream.
 */
export async function startLeader(
  cleanup: Cleanup,
  { digest, size, path = blobPath(digest) }: { digest: Digest; size: number; path?: string },
): Promise<InflightNode & { readonly download: InflightDownload }> {
  const node = await startInflightNode(cleanup);
  node.tracker.answer = () => ({ role: 'lead' });
  assert.equal((await fetch(`${node.url}${path}`)).status, 404);
  return { ...node, download: node.inflight.begin(digest, size) };
}

/**
 * What containerd does with an answer: stores the bytes as they come. Resolves with how many came,
 * and after how long.
 */
export async function store(response: Response, download: InflightDownload): Promise<number> {
  try {
    for await (const piece of response.body ?? []) download.append(piece);
  } catch {
    // The body was cut: what came is stored.
  }
  return download.have;
}

/** Adds pieces of `bytes` every few milliseconds until all are there. */
export async function grow(
  download: InflightDownload,
  bytes: Buffer,
  { until = bytes.byteLength, piece = 64 * 1024, everyMs = 2 } = {},
): Promise<void> {
  while (download.have < until) {
    download.append(bytes.subarray(download.have, Math.min(download.have + piece, until)));
    await delay(everyMs);
  }
}

/** A response whose body is read to its end, however it ends. */
export async function get(url: string, headers: Record<string, string> = {}) {
  const startedAt = performance.now();
  const response = await fetch(url, { headers });
  const headMs = performance.now() - startedAt;
  const pieces: Uint8Array[] = [];
  let isCut = false;
  try {
    for await (const piece of response.body ?? []) pieces.push(piece);
  } catch {
    isCut = true;
  }
  const ms = performance.now() - startedAt;
  return { response, status: response.status, bytes: Buffer.concat(pieces), isCut, headMs, ms };
}
