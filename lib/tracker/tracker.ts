import type { Part } from '../base/lifecycle.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerProtocol } from '../routing/peer-protocol.ts';
import type { Assignment, SourceAnswer, SourceQuestion } from './assignment.ts';
import { type EntryBounds, TrackerEntries } from './entries.ts';
import {
  decodeTrackerMessage,
  encodeTrackerMessage,
  MAX_LIST,
  type Pull,
  type Receipt,
  type TrackerMessage,
} from './protocol.ts';
import { SpoiltDigests } from './spoilt-digests.ts';

/** An assignment that also says how often a puller is to report, in milliseconds. */
export type TimedAssignment = Assignment & { readonly reportInterval: number };

export interface TrackerParts {
  readonly protocol: Pick<PeerProtocol, 'providers'>;
  readonly newAssignment: () => TimedAssignment;
  /** A monotonic clock, milliseconds. */
  readonly now?: () => number;
}

/** Ten thousand hosts that pull one digest, and as many that have another. */
export const DEFAULT_ENTRY_BOUNDS: EntryBounds = { maxEntries: 20_000, maxEntriesPerPeer: 256 };

interface Member {
  /** The peer that it said to have its bytes from. */
  readonly source: string | undefined;
  /** When it was heard of last as a puller. */
  readonly heard: number;
  /** How long it counts. */
  readonly until: number;
}

interface Book {
  readonly assignment: TimedAssignment;
  /** Peers that pull the digest or said to have it; without any it is forgotten. */
  readonly members: Map<string, Member>;
}

const SWEEP_MS = 1_000;
const REPORT_MS = 1_000;
/** A puller is forgotten after three of its assignment's intervals, one second at least: two seconds are still in time. */
const LONGEST_REPORT_MS = 2_000;
/** Pulls reported per second, of all digests, above which fewer are asked for: each may be a message of some 0.1 ms. */
const MANY_REPORTS = 1_000;
/** A puller that was not heard of for so long is none; its word about spoilt content does not count. */
const PULLER_MS = 60_000;
/** As long as its assignment knows one that has all of it. */
const WHOLE_MS = 600_000;
const NEVER = Number.NEGATIVE_INFINITY;
const LEAD: SourceAnswer = { role: 'lead' };

/**
 * Keeps who pulls a digest, from whom and how far, for the digests that this node is closest or next closest to, and tells
 * those who ask whom to get it from. In memory: a node that takes over knows it all after a second of reports.
 */
export class Tracker implements Part {
  readonly #parts: TrackerParts;
  readonly #now: () => number;
  readonly #books = new Map<Digest, Book>();
  /** Of all books together. */
  readonly #entries: TrackerEntries;
  readonly #spoilt: SpoiltDigests;
  #timer: NodeJS.Timeout | undefined;
  #reports = 0;
  #reportsLately = 0;

  constructor(parts: TrackerParts, bounds: EntryBounds = DEFAULT_ENTRY_BOUNDS) {
    this.#parts = parts;
    this.#entries = new TrackerEntries(bounds, (peer, digest) => this.#left(peer, digest));
    this.#now = parts.now ?? (() => performance.now());
    this.#spoilt = new SpoiltDigests(this.#now);
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#timer = setInterval(() => this.sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#books.clear();
    this.#entries.clear();
  }

  /** Digests that something is known about. */
  get size(): number {
    return this.#books.size;
  }

  /** Peers of all digests, as often as each has to do with one. */
  get entries(): number {
    return this.#entries.size;
  }

  /** Answers a peer's message (an Answerer). Throws for what is no message. */
  readonly answer = (from: string, message: Uint8Array): Uint8Array =>
    encodeTrackerMessage(this.handle(from, decodeTrackerMessage(message)));

  /** The same for a message that is decoded; a node that is its own tracker asks here. */
  handle(from: string, message: TrackerMessage): SourceAnswer | Receipt {
    const now = this.#now();
    switch (message.type) {
      case 'ask':
        return this.#ask({ ...message, peer: from }, message.digest, now);
      case 'report': {
        const told = message.pulls.map((pull) => this.#report(from, pull, now));
        const intervals = told.map(({ nextMs }) => nextMs);
        const again = told.flatMap(({ digest, isHeldUp }) => (isHeldUp ? [digest] : []));
        return { ok: true, nextReportMs: Math.max(this.#reportMs(), ...intervals), again };
      }
      case 'done':
        this.#done(from, message.digest, now);
        break;
      case 'gone':
        this.#gone(from, message.digest, message.isSpoilt, now);
    }
    return { ok: true, nextReportMs: this.#reportMs(), again: [] };
  }

  /** Forgets the digests that nothing is known about any more. The timer calls it once a second. */
  sweep(): void {
    const now = this.#now();
    for (const [digest, { members }] of this.#books) {
      for (const [peer, { until }] of members) if (until < now) this.#forget(peer, digest);
    }
    this.#reportsLately = this.#reports;
    this.#reports = 0;
  }

  /** A digest that was spoilt is led by everybody: as without sharing. */
  #ask(question: SourceQuestion, digest: Digest, now: number): SourceAnswer {
    if (this.#spoilt.isBarred(digest)) return LEAD;
    const book = this.#open(digest, question.peer);
    const barred = this.#spoilt.barred(digest);
    const isOffered = (peer: string) => peer !== question.peer && !barred.has(peer);
    const holders = this.#parts.protocol.providers(digest).filter(isOffered);
    const failed = [...question.failed, ...barred];
    const answer = book.assignment.ask({ ...question, failed }, holders, now);
    const sources =
      answer.role === 'lead' ? [] : answer.sources.filter(({ peer }) => isOffered(peer));
    hear(book, question.peer, sources[0]?.peer, now);
    if (answer.role === 'lead' || sources.length === 0) return LEAD;
    return { ...answer, sources: sources.slice(0, MAX_LIST) };
  }

  #report(peer: string, { digest, have, source }: Pull, now: number) {
    this.#reports++;
    const book = this.#open(digest, peer);
    hear(book, peer, source, now);
    const isHeldUp = book.assignment.report({ peer, have, source }, now);
    return { digest, isHeldUp, nextMs: Math.ceil(book.assignment.reportInterval) };
  }

  #done(peer: string, digest: Digest, now: number): void {
    const { assignment, members } = this.#open(digest, peer);
    assignment.done(peer, now);
    const { source, heard } = members.get(peer) ?? { source: undefined, heard: NEVER };
    members.set(peer, { source, heard, until: now + WHOLE_MS });
  }

  #gone(peer: string, digest: Digest, isSpoilt: boolean, now: number): void {
    const puller = this.#books.get(digest)?.members.get(peer);
    if (puller === undefined || puller.heard + PULLER_MS < now) return;
    if (isSpoilt) this.#spoilt.report(digest, peer, puller.source);
    this.#forget(peer, digest);
  }

  /** The digest's book, a new one if need be; others may make room for it. */
  #open(digest: Digest, peer: string): Book {
    this.#entries.touch(peer, digest);
    const known = this.#books.get(digest);
    if (known !== undefined) return known;
    const book: Book = { assignment: this.#parts.newAssignment(), members: new Map() };
    this.#books.set(digest, book);
    return book;
  }

  #forget(peer: string, digest: Digest): void {
    this.#entries.delete(peer, digest);
    this.#left(peer, digest);
  }

  #left(peer: string, digest: Digest): void {
    const book = this.#books.get(digest);
    if (book === undefined) return;
    book.members.delete(peer);
    book.assignment.gone(peer, this.#now());
    if (book.members.size === 0) this.#books.delete(digest);
  }

  #reportMs(): number {
    const ms = (REPORT_MS * this.#reportsLately) / MANY_REPORTS;
    return Math.round(Math.min(LONGEST_REPORT_MS, Math.max(REPORT_MS, ms)));
  }
}

/** Notes what a puller said. */
function hear({ members }: Book, peer: string, source: string | undefined, heard: number): void {
  members.set(peer, { source, heard, until: heard + PULLER_MS });
}
