import type { Part } from '../base/lifecycle.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerProtocol } from '../routing/peer-protocol.ts';
import type { Answer, Assignment, Question } from './assignment.ts';
import {
  decodeMessage,
  encode,
  MAX_LIST,
  type Message,
  type Pull,
  type Receipt,
} from './protocol.ts';
import { Spoilt } from './spoilt.ts';

/** An assignment that also says how often a puller is to report, in milliseconds. */
export type TimedAssignment = Assignment & { readonly reportInterval: number };

export interface TrackerParts {
  readonly protocol: Pick<PeerProtocol, 'providers'>;
  readonly newAssignment: () => TimedAssignment;
  /** A monotonic clock, milliseconds. */
  readonly now?: () => number;
}

export interface TrackerSettings {
  /** Digests at once; the one that was not asked for longest makes room. */
  readonly maxDigests: number;
  /** Digests at once that one peer brought up; with more it pushes out its own, not everybody else's. */
  readonly maxDigestsPerPeer: number;
}

export const DEFAULT_TRACKER_SETTINGS: TrackerSettings = {
  maxDigests: 4_096,
  maxDigestsPerPeer: 256,
};

interface Book {
  readonly assignment: TimedAssignment;
  /** Who brought the digest up. */
  readonly opener: string;
  /** Whom each puller said to have its bytes from, and when it was heard of last. */
  readonly pullers: Map<string, { readonly source: string | undefined; readonly heard: number }>;
}

const SWEEP_MS = 1_000;
const REPORT_MS = 1_000;
/** A puller is forgotten after three of its assignment's intervals, one second at least: two seconds are still in time. */
const LONGEST_REPORT_MS = 2_000;
/** Pulls reported per second, of all digests, above which fewer are asked for: each may be a message of some 0.1 ms. */
const MANY_REPORTS = 1_000;
/** A puller that was not heard of for so long is none; its word about spoilt content does not count. */
const PULLER_MS = 60_000;
const MAX_PULLERS = 10_000;
const LEAD: Answer = { role: 'lead' };

/**
 * Keeps who pulls a digest, from whom and how far, for the digests that this node is closest or next closest to, and tells
 * those who ask whom to get it from. In memory: a node that takes over knows it all after a second of reports.
 */
export class Tracker implements Part {
  readonly #parts: TrackerParts;
  readonly #settings: TrackerSettings;
  readonly #now: () => number;
  /** The one that was asked for longest ago first. */
  readonly #books = new Map<Digest, Book>();
  /** The digests that each peer brought up, in the same order. */
  readonly #opened = new Map<string, Set<Digest>>();
  readonly #spoilt: Spoilt;
  #timer: NodeJS.Timeout | undefined;
  #reports = 0;
  #reportsLately = 0;

  constructor(parts: TrackerParts, settings: TrackerSettings = DEFAULT_TRACKER_SETTINGS) {
    this.#parts = parts;
    this.#settings = settings;
    this.#now = parts.now ?? (() => performance.now());
    this.#spoilt = new Spoilt(this.#now);
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#timer = setInterval(() => this.sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#books.clear();
    this.#opened.clear();
  }

  /** Digests that something is known about. */
  get size(): number {
    return this.#books.size;
  }

  /** Answers a peer's message (an Answerer). Throws for what is no message. */
  readonly answer = (from: string, message: Uint8Array): Uint8Array =>
    encode(this.handle(from, decodeMessage(message)));

  /** The same for a message that is decoded; a node that is its own tracker asks here. */
  handle(from: string, message: Message): Answer | Receipt {
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
        this.#open(message.digest, from).assignment.done(from, now);
        break;
      case 'gone':
        this.#gone(from, message.digest, message.isSpoilt, now);
    }
    return { ok: true, nextReportMs: this.#reportMs(), again: [] };
  }

  /** Forgets the digests that nothing is known about any more. The timer calls it once a second. */
  sweep(): void {
    const now = this.#now();
    for (const [digest, book] of this.#books) {
      for (const [peer, { heard }] of book.pullers)
        if (heard + PULLER_MS < now) book.pullers.delete(peer);
      if (book.assignment.isEmpty(now) && book.pullers.size === 0) this.#delete(digest);
    }
    this.#reportsLately = this.#reports;
    this.#reports = 0;
  }

  /** A digest that was spoilt is led by everybody: as without sharing. */
  #ask(question: Question, digest: Digest, now: number): Answer {
    if (this.#spoilt.isBarred(digest)) return LEAD;
    const book = this.#open(digest, question.peer);
    const barred = this.#spoilt.barred(digest);
    const isOffered = (peer: string) => peer !== question.peer && !barred.has(peer);
    const holders = this.#parts.protocol.providers(digest).filter(isOffered);
    const failed = [...question.failed, ...barred];
    const answer = book.assignment.ask({ ...question, failed }, holders, now);
    const sources =
      answer.role === 'lead' ? [] : answer.sources.filter(({ peer }) => isOffered(peer));
    this.#heard(book, question.peer, sources[0]?.peer, now);
    if (answer.role === 'lead' || sources.length === 0) return LEAD;
    return { ...answer, sources: sources.slice(0, MAX_LIST) };
  }

  #report(peer: string, { digest, have, source }: Pull, now: number) {
    this.#reports++;
    const book = this.#open(digest, peer);
    this.#heard(book, peer, source, now);
    const isHeldUp = book.assignment.report({ peer, have, source }, now);
    return { digest, isHeldUp, nextMs: Math.ceil(book.assignment.reportInterval) };
  }

  #gone(peer: string, digest: Digest, isSpoilt: boolean, now: number): void {
    const book = this.#books.get(digest);
    const puller = book?.pullers.get(peer);
    if (book === undefined || puller === undefined) return;
    if (isSpoilt) this.#spoilt.report(digest, peer, puller.source);
    book.pullers.delete(peer);
    book.assignment.gone(peer, now);
  }

  #heard(book: Book, peer: string, source: string | undefined, heard: number): void {
    if (book.pullers.size < MAX_PULLERS || book.pullers.has(peer))
      book.pullers.set(peer, { source, heard });
  }

  /** The digest's book, a new one if need be; then the one that was used longest ago may make room. */
  #open(digest: Digest, peer: string): Book {
    let book = this.#books.get(digest);
    if (book === undefined) {
      const { maxDigests, maxDigestsPerPeer } = this.#settings;
      const own = this.#opened.get(peer);
      if (own !== undefined && own.size >= maxDigestsPerPeer) this.#drop(own);
      else if (this.#books.size >= maxDigests) this.#drop(this.#books.keys());
      book = { assignment: this.#parts.newAssignment(), opener: peer, pullers: new Map() };
    } else this.#delete(digest);
    this.#books.set(digest, book);
    const opened = this.#opened.get(book.opener) ?? new Set();
    this.#opened.set(book.opener, opened.add(digest));
    return book;
  }

  #drop(digests: Iterable<Digest>): void {
    for (const oldest of digests) {
      this.#delete(oldest);
      return;
    }
  }

  #delete(digest: Digest): void {
    const book = this.#books.get(digest);
    if (book === undefined) return;
    this.#books.delete(digest);
    const opened = this.#opened.get(book.opener);
    opened?.delete(digest);
    if (opened?.size === 0) this.#opened.delete(book.opener);
  }

  #reportMs(): number {
    const ms = (REPORT_MS * this.#reportsLately) / MANY_REPORTS;
    return Math.round(Math.min(LONGEST_REPORT_MS, Math.max(REPORT_MS, ms)));
  }
}
