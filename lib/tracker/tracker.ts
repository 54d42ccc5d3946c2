import type { Part } from '../base/lifecycle.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerProtocol } from '../routing/peer-protocol.ts';
import type { Assignment, SourceAnswer, SourceQuestion } from './assignment.ts';
import {
  BUSY_REPORTS_PER_SECOND,
  DEFAULT_ENTRY_BOUNDS,
  MAX_BUSY_REPORT_MS,
  PULLER_MS,
  REPORT_MS,
  TRACKER_SWEEP_MS,
  WHOLE_MS,
} from './constants.ts';
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

/** An assignment that also says how often a puller is to report. */
export type TimedAssignment = Assignment & { readonly reportIntervalMs: number };

export interface TrackerParts {
  readonly protocol: Pick<PeerProtocol, 'providers'>;
  readonly newAssignment: () => TimedAssignment;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

interface Member {
  /** The peer that it named as its source. */
  readonly source: string | undefined;
  /** When it last spoke as a puller. */
  readonly heardAt: number;
  /** Until when it counts. */
  readonly until: number;
}

interface Book {
  readonly assignment: TimedAssignment;
  /** Peers that pull the digest or said that they have it; without any the digest is forgotten. */
  readonly members: Map<string, Member>;
}

const NEVER = Number.NEGATIVE_INFINITY;
const LEAD: SourceAnswer = { role: 'lead' };

/**
 * Knows which hosts pull a digest, from which sources and how far, for the digests that this node
 * is closest or next closest to, and names sources to pullers. In memory: a node that takes over
 * knows everything after a second of reports.
 */
export class Tracker implements Part {
  readonly #parts: TrackerParts;
  readonly #now: () => number;
  readonly #books = new Map<Digest, Book>();
  /** The entries of all books together. */
  readonly #entries: TrackerEntries;
  readonly #spoilt: SpoiltDigests;
  #timer: NodeJS.Timeout | undefined;
  /** Reported pulls since the last sweep, and between the two before it. */
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
    this.#timer = setInterval(() => this.sweep(), TRACKER_SWEEP_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#books.clear();
    this.#entries.clear();
  }

  /** How many digests something is known about. */
  get size(): number {
    return this.#books.size;
  }

  /** How many pairs of a peer and a digest are known. */
  get entries(): number {
    return this.#entries.size;
  }

  /** Answers a peer's message (an Answerer). Throws for bytes that are no message. */
  readonly answer = (from: string, message: Uint8Array): Uint8Array =>
    encodeTrackerMessage(this.handle(from, decodeTrackerMessage(message)));

  /** The same for a decoded message, for a node that is its own tracker. */
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

  /** Every puller of a spoilt digest leads, as without in-flight sharing. */
  #ask(question: SourceQuestion, digest: Digest, now: number): SourceAnswer {
    if (this.#spoilt.isBarred(digest)) return LEAD;
    const book = this.#open(digest, question.peer);
    const barred = this.#spoilt.barred(digest);
    const isOffered = (peer: string) => peer !== question.peer && !barred.has(peer);
    const providers = this.#parts.protocol.providers(digest).filter(isOffered);
    const failed = [...question.failed, ...barred];
    const answer = book.assignment.ask({ ...question, failed }, providers, now);
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
    return { digest, isHeldUp, nextMs: Math.ceil(book.assignment.reportIntervalMs) };
  }

  #done(peer: string, digest: Digest, now: number): void {
    const { assignment, members } = this.#open(digest, peer);
    assignment.done(peer, now);
    const { source, heardAt } = members.get(peer) ?? { source: undefined, heardAt: NEVER };
    members.set(peer, { source, heardAt, until: now + WHOLE_MS });
  }

  #gone(peer: string, digest: Digest, isSpoilt: boolean, now: number): void {
    const puller = this.#books.get(digest)?.members.get(peer);
    if (puller === undefined || puller.heardAt + PULLER_MS < now) return;
    if (isSpoilt) this.#spoilt.report(digest, peer, puller.source);
    this.#forget(peer, digest);
  }

  /** The digest's book, a new one if need be. Other entries may make room for it. */
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
    const ms = (REPORT_MS * this.#reportsLately) / BUSY_REPORTS_PER_SECOND;
    return Math.round(Math.min(MAX_BUSY_REPORT_MS, Math.max(REPORT_MS, ms)));
  }
}

/** Notes what a puller said. */
function hear({ members }: Book, peer: string, source: string | undefined, heardAt: number): void {
  members.set(peer, { source, heardAt, until: heardAt + PULLER_MS });
}
