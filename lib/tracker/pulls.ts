import type { Digest } from '../oci/digest.ts';
import type { Mark, UpstreamRate } from './download-rates.ts';
import type { DownloadRate } from './flow.ts';
import { MAX_LIST, type Receipt, type TrackerMessage } from './protocol.ts';
import type { Trackers } from './trackers.ts';

/** How far this host is with a digest. */
export type PullProgress =
  | { readonly state: 'growing'; readonly have: number }
  /** It is in the store. */
  | { readonly state: 'done' }
  /** It neither is nor is on its way. */
  | { readonly state: 'none' }
  /** All its bytes came, and they were wrong. */
  | { readonly state: 'spoilt' }
  /** The store did not answer in time, or the disk failed. */
  | { readonly state: 'unknown' };

export interface PullsParts {
  readonly trackers: Pick<Trackers, 'of' | 'tell'>;
  readonly rate: UpstreamRate;
  readonly flow: DownloadRate;
  readonly progress: (digest: Digest) => Promise<PullProgress>;
  /** The bytes that came were wrong. */
  readonly onSpoilt: (digest: Digest) => void;
  readonly now: () => number;
}

export interface PullsSettings {
  /** How long content may take to begin, and how long it may stand still at the most; and some slack for both. */
  readonly inflightWaitMs: number;
  readonly starvedWaitMs: number;
}

interface Pulled {
  readonly digest: Digest;
  readonly started: number;
  have: number;
  source: string | undefined;
  /** When it was seen last, and when it grew last. */
  seen: number;
  grown: number;
  reported: number;
  everyMs: number;
  isLooking: boolean;
  isTelling: boolean;
  /** The tracker knows a better source. */
  isHeldUp: boolean;
  /** Known to come from the upstream, so that its speed is the upstream's. */
  isLed: boolean;
  mark: Mark | undefined;
}

/** A layer may be there between two reports; others are to know at once that somebody has it whole. */
const LOOK_MS = 200;
/** What a tracker may ask for; ten thousand pullers of one digest report every ten seconds. */
const REPORT_MS = { min: 500, first: 1_000, max: 10_000 };
/** containerd may pause between asking and opening, and the rename into the store has a moment without either. */
const GRACE_MS = 3_000;
const VANISHED_MS = 1_000;
const LONGEST_MS = 3_600_000;
/** containerd pulls three layers of an image at once; what is more than this is another fleet's worth of pulls. */
const MAX_PULLS = 64;

/** What this host pulls: looks how far it is, and tells the digests' trackers until it has it or has given up. */
export class Pulls {
  readonly #parts: PullsParts;
  readonly #beginMs: number;
  readonly #stallMs: number;
  readonly #pulls = new Map<Digest, Pulled>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: PullsParts, { inflightWaitMs, starvedWaitMs }: PullsSettings) {
    this.#parts = parts;
    this.#beginMs = inflightWaitMs + GRACE_MS;
    this.#stallMs = starvedWaitMs + GRACE_MS;
  }

  get size(): number {
    return this.#pulls.size;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#pulls.clear();
  }

  /** A digest was asked for; the one that was first makes room when there are too many. Its tracker knows this already, if it answered. */
  joined(digest: Digest, have: number, source: string | undefined, isLed: boolean): void {
    const now = this.#parts.now();
    const [oldest] = this.#pulls.keys();
    if (this.#pulls.size >= MAX_PULLS && !this.#pulls.has(digest) && oldest !== undefined)
      this.#pulls.delete(oldest);
    const started = this.#pulls.get(digest)?.started ?? now;
    const times = { started, seen: now, grown: now, reported: now, everyMs: REPORT_MS.first };
    const flags = { isLooking: false, isTelling: false, isHeldUp: false, isLed, mark: undefined };
    this.#pulls.set(digest, { digest, have, source, ...times, ...flags });
    this.#timer ??= setInterval(() => this.#tick(), LOOK_MS);
  }

  source(digest: Digest, peer: string | undefined): void {
    const pull = this.#pulls.get(digest);
    if (pull === undefined) return;
    pull.source = peer;
    pull.isLed = peer === undefined;
    pull.mark = undefined;
  }

  /** True once when the tracker has said that it knows a better source. */
  isHeldUp(digest: Digest): boolean {
    const pull = this.#pulls.get(digest);
    if (pull?.isHeldUp !== true) return false;
    pull.isHeldUp = false;
    return true;
  }

  #tick(): void {
    const now = this.#parts.now();
    for (const pull of this.#pulls.values()) {
      if (now - pull.started > LONGEST_MS) this.#end(pull, gone(pull));
      else if (!pull.isLooking) void this.#look(pull);
    }
    const isDue = ({ isTelling, reported, everyMs }: Pulled) =>
      !isTelling && now - reported >= everyMs;
    void this.#report([...this.#pulls.values()].filter(isDue));
    if (this.#pulls.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #look(pull: Pulled): Promise<void> {
    pull.isLooking = true;
    const unknown: PullProgress = { state: 'unknown' };
    const progress = await this.#parts.progress(pull.digest).catch(() => unknown);
    pull.isLooking = false;
    if (this.#pulls.get(pull.digest) !== pull) return;
    if (progress.state === 'done') return this.#end(pull, { type: 'done', digest: pull.digest });
    if (progress.state === 'spoilt') {
      this.#parts.onSpoilt(pull.digest);
      return this.#end(pull, { ...gone(pull), isSpoilt: true });
    }
    if (progress.state === 'growing') this.#grew(pull, progress.have);
    // A disk that is busy for a second has not lost anything.
    if (progress.state === 'unknown') pull.seen = this.#parts.now();
    if (this.#isOver(pull)) this.#end(pull, gone(pull));
  }

  #grew(pull: Pulled, have: number): void {
    const now = this.#parts.now();
    pull.seen = now;
    if (have !== pull.have) pull.grown = now;
    if (have > pull.have) this.#parts.flow.grew(have - pull.have, now);
    pull.have = have;
    if (pull.isLed) pull.mark = this.#parts.rate.measured(pull.mark, { have, at: now });
  }

  #isOver({ seen, grown, started, have }: Pulled): boolean {
    const now = this.#parts.now();
    const wasThere = have > 0 && seen > started;
    return now - seen > (wasThere ? VANISHED_MS : this.#beginMs) || now - grown > this.#stallMs;
  }

  #end(pull: Pulled, message: TrackerMessage): void {
    if (this.#pulls.delete(pull.digest))
      void this.#tell(this.#parts.trackers.of(pull.digest), message);
  }

  /** Reports pulls, those that have the same trackers in one message. Never rejects. */
  async #report(pulls: readonly Pulled[]): Promise<void> {
    const groups = new Map<string, { trackers: readonly string[]; pulls: Pulled[] }>();
    for (const pull of pulls) {
      const trackers = this.#parts.trackers.of(pull.digest);
      const key = trackers.join();
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { trackers, pulls: [pull] });
      else group.pulls.push(pull);
    }
    const reports = [...groups.values()].flatMap(({ trackers, pulls: all }) =>
      chunks(all, MAX_LIST).map((some) => this.#reportTo(trackers, some)),
    );
    await Promise.all(reports);
  }

  async #reportTo(trackers: readonly string[], pulls: readonly Pulled[]): Promise<void> {
    for (const pull of pulls) pull.isTelling = true;
    const told = pulls.map(({ digest, have, source }) => ({ digest, have, source }));
    const report: TrackerMessage = { type: 'report', pulls: told };
    const receipt = await this.#tell(trackers, report);
    const nextMs = receipt?.nextReportMs ?? REPORT_MS.first;
    const everyMs = Math.min(REPORT_MS.max, Math.max(REPORT_MS.min, nextMs));
    const reported = this.#parts.now();
    for (const pull of pulls) {
      const isHeldUp = pull.isHeldUp || receipt?.again.includes(pull.digest) === true;
      Object.assign(pull, { isTelling: false, isHeldUp, reported, everyMs });
    }
  }

  /** Tells the first two of these trackers that take it: when one dies, the next knows. The closer one's word counts. Never rejects. */
  async #tell(trackers: readonly string[], message: TrackerMessage): Promise<Receipt | undefined> {
    const receipts: (Receipt | undefined)[] = [];
    let next = 0;
    const tellOne = async (): Promise<void> => {
      for (;;) {
        const place = next++;
        const tracker = trackers[place];
        if (tracker === undefined) return;
        receipts[place] = await this.#parts.trackers.tell(tracker, message);
        if (receipts[place] !== undefined) return;
      }
    };
    await Promise.all([tellOne(), tellOne()]);
    return receipts.find((receipt) => receipt !== undefined);
  }
}

const gone = ({ digest }: Pulled) => ({ type: 'gone', digest, isSpoilt: false }) as const;

function chunks<T>(list: readonly T[], size: number): T[][] {
  const count = Math.ceil(list.length / size);
  return Array.from({ length: count }, (_, at) => list.slice(at * size, (at + 1) * size));
}
