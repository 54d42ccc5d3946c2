import type { Digest } from '../oci/digest.ts';
import {
  FIRST_LOOK_MS,
  LONGEST_PULL_MS,
  MAX_ASKED_REPORT_MS,
  MAX_PULLS,
  MIN_ASKED_REPORT_MS,
  PROGRESS_LOOK_MS,
  PULL_GRACE_MS,
  REPORT_MS,
  VANISHED_MS,
} from './constants.ts';
import type { DownloadRate, Mark, UpstreamRates } from './download-rates.ts';
import { MAX_LIST, type Receipt, type TrackerMessage } from './protocol.ts';
import type { PullProgress } from './pull-progress.ts';
import type { Trackers } from './trackers.ts';

export interface PullsParts {
  readonly trackers: Pick<Trackers, 'of' | 'tell'>;
  readonly upstreamRates: UpstreamRates;
  readonly downloadRate: DownloadRate;
  /** How far this host is. `known`: only whether it has all, which costs no look at the disk. */
  readonly progress: (digest: Digest, which?: 'known') => Promise<PullProgress>;
  /** Is told of digests of which all bytes came, and were wrong. */
  readonly onSpoilt: (digest: Digest) => void;
  readonly now: () => number;
}

export interface PullsSettings {
  /** How long content may take to begin. */
  readonly inflightWaitMs: number;
  /** How long content may stand still. */
  readonly starvedWaitMs: number;
}

/** What this host begins to pull. */
export interface NewPull {
  readonly digest: Digest;
  /** The registry that it is asked for by, as containerd names it. */
  readonly registry: string;
  /** Bytes that this host has already, from 0 on. */
  readonly have: number;
}

interface Pull {
  readonly digest: Digest;
  readonly registry: string;
  readonly startedAt: number;
  have: number;
  source: string | undefined;
  seenAt: number;
  grownAt: number;
  reportedAt: number;
  reportEveryMs: number;
  isLooking: boolean;
  isTelling: boolean;
  /** The tracker knows a better source. */
  isHeldUp: boolean;
  /**
   * Since when, and from which byte on, it is known to come from the upstream, so that its speed is
   * the upstream's. Undefined: from a peer.
   */
  ledSince: Mark | undefined;
  mark: Mark | undefined;
}

/**
 * What this host pulls now. Looks how far each digest is, and reports that to the digest's trackers
 * until this host has it or has given up.
 */
export class Pulls {
  readonly #parts: PullsParts;
  readonly #beginMs: number;
  readonly #stallMs: number;
  readonly #pulls = new Map<Digest, Pull>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: PullsParts, { inflightWaitMs, starvedWaitMs }: PullsSettings) {
    this.#parts = parts;
    this.#beginMs = inflightWaitMs + PULL_GRACE_MS;
    this.#stallMs = starvedWaitMs + PULL_GRACE_MS;
  }

  get size(): number {
    return this.#pulls.size;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#pulls.clear();
  }

  /**
   * This host begins to pull a digest. If the tracker answered, it knows this already. When there
   * are too many pulls the oldest makes room.
   */
  add({ digest, registry, have }: NewPull, source: string | undefined, isLed: boolean): void {
    const now = this.#parts.now();
    const [oldest] = this.#pulls.keys();
    if (this.#pulls.size >= MAX_PULLS && !this.#pulls.has(digest) && oldest !== undefined)
      this.#pulls.delete(oldest);
    // A host that asks often reports all the same: a tracker makes no rates of questions.
    const { startedAt = now, reportedAt = now } = this.#pulls.get(digest) ?? {};
    const times = {
      startedAt,
      seenAt: now,
      grownAt: now,
      reportedAt,
      reportEveryMs: REPORT_MS,
    };
    const flags = { isLooking: false, isTelling: false, isHeldUp: false, mark: undefined };
    const ledSince = isLed ? { have, at: now } : undefined;
    this.#pulls.set(digest, { digest, registry, have, source, ledSince, ...times, ...flags });
    this.#timer ??= setInterval(() => this.#tick(), PROGRESS_LOOK_MS);
  }

  setSource(digest: Digest, peer: string | undefined): void {
    const pull = this.#pulls.get(digest);
    if (pull === undefined) return;
    pull.source = peer;
    pull.ledSince = peer === undefined ? { have: pull.have, at: this.#parts.now() } : undefined;
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
      if (now - pull.startedAt > LONGEST_PULL_MS) this.#end(pull, gone(pull));
      else if (!pull.isLooking) void this.#look(pull);
    }
    const isDue = ({ isTelling, reportedAt, reportEveryMs }: Pull) =>
      !isTelling && now - reportedAt >= reportEveryMs;
    void this.#report([...this.#pulls.values()].filter(isDue));
    if (this.#pulls.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #look(pull: Pull): Promise<void> {
    pull.isLooking = true;
    const unknown: PullProgress = { state: 'unknown' };
    // A small blob is complete by then, and nobody wants to know how far it was.
    const which = this.#parts.now() - pull.startedAt < FIRST_LOOK_MS ? 'known' : undefined;
    const progress = await this.#parts.progress(pull.digest, which).catch(() => unknown);
    pull.isLooking = false;
    if (this.#pulls.get(pull.digest) !== pull) return;
    if (progress.state === 'done') {
      this.#complete(pull, progress.size);
      return this.#end(pull, { type: 'done', digest: pull.digest });
    }
    if (progress.state === 'spoilt') {
      this.#parts.onSpoilt(pull.digest);
      return this.#end(pull, { ...gone(pull), isSpoilt: true });
    }
    if (progress.state === 'inflight') this.#grew(pull, progress.have);
    // A disk that is busy for a second has lost nothing.
    if (progress.state === 'unknown') pull.seenAt = this.#parts.now();
    if (this.#isOver(pull)) this.#end(pull, gone(pull));
  }

  #grew(pull: Pull, have: number): void {
    const now = this.#parts.now();
    pull.seenAt = now;
    if (have !== pull.have) pull.grownAt = now;
    if (have > pull.have) this.#parts.downloadRate.grew(have - pull.have, now);
    pull.have = have;
    if (pull.ledSince === undefined) return;
    const { upstreamRates } = this.#parts;
    pull.mark = upstreamRates.measured(pull.registry, pull.mark, { have, at: now });
  }

  /** Of a fast download only its end is seen. */
  #complete({ registry, have, ledSince }: Pull, size: number): void {
    const { upstreamRates, downloadRate, now } = this.#parts;
    const at = now();
    if (size > have) downloadRate.grew(size - have, at);
    if (ledSince !== undefined) upstreamRates.completed(registry, ledSince, { have: size, at });
  }

  #isOver({ seenAt, grownAt, startedAt, have }: Pull): boolean {
    const now = this.#parts.now();
    const wasThere = have > 0 && seenAt > startedAt;
    return now - seenAt > (wasThere ? VANISHED_MS : this.#beginMs) || now - grownAt > this.#stallMs;
  }

  #end(pull: Pull, message: TrackerMessage): void {
    if (this.#pulls.delete(pull.digest))
      void this.#tell(this.#parts.trackers.of(pull.digest), message);
  }

  /** Reports pulls; those with the same trackers go into one message. Never rejects. */
  async #report(pulls: readonly Pull[]): Promise<void> {
    const groups = new Map<string, { trackers: readonly string[]; pulls: Pull[] }>();
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

  async #reportTo(trackers: readonly string[], pulls: readonly Pull[]): Promise<void> {
    for (const pull of pulls) pull.isTelling = true;
    // Not when it has been told: a look comes every 200 ms, and the next report would miss its own.
    const reportedAt = this.#parts.now();
    const told = pulls.map(({ digest, have, source }) => ({ digest, have, source }));
    const report: TrackerMessage = { type: 'report', pulls: told };
    const receipt = await this.#tell(trackers, report);
    const nextMs = receipt?.nextReportMs ?? REPORT_MS;
    const reportEveryMs = Math.min(MAX_ASKED_REPORT_MS, Math.max(MIN_ASKED_REPORT_MS, nextMs));
    for (const pull of pulls) {
      const isHeldUp = pull.isHeldUp || receipt?.again.includes(pull.digest) === true;
      Object.assign(pull, { isTelling: false, isHeldUp, reportedAt, reportEveryMs });
    }
  }

  /**
   * Tells the first two of these trackers that take the message, so that the next one knows when
   * the first dies. Returns the receipt of the closer one. Never rejects.
   */
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

const gone = ({ digest }: Pull) => ({ type: 'gone', digest, isSpoilt: false }) as const;

function chunks<T>(list: readonly T[], size: number): T[][] {
  const count = Math.ceil(list.length / size);
  return Array.from({ length: count }, (_, at) => list.slice(at * size, (at + 1) * size));
}
