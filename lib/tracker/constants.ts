/** The policy numbers of this room, by subject. */

// ---- Which source a puller is given (assignment.ts, choice.ts); chosen by simulation

/**
 * `maxChildren`: pullers that one source feeds with their full share. `child`: how many more hops
 * are as bad as one more child. Chains of up to 16 hosts give every host the full rate.
 */
export const WEIGHTS = { maxChildren: 2, child: 16 } as const;

/** Small content takes no time on any link, but each hop does: a flat tree. */
export const SMALL_WEIGHTS = { maxChildren: 16, child: 0.1 } as const;

/** This many times `maxChildren`, slow children included: those take little of a source's link. */
export const WITH_SLOW = 2;

/**
 * This many times `maxChildren`, counting also children that others gave up. They may be dead and
 * are forgotten within seconds; until then they must not bar a source.
 */
export const WITH_DEAD = 4;

/**
 * A source that has all of the content counts as having half a child. It is most likely busy with
 * the pull's other layers, while the end of a chain is known to be idle.
 */
export const WHOLE_BURDEN = 0.5;

/**
 * A source that has less than the asker comes after all that have as much: the asker would wait.
 */
export const BEHIND_COST = 1e6;

/** A source that this many pullers gave up on is given only where there is no other. */
export const ACCUSED_AT = 2;

/** More accusers than this say nothing new. */
export const MAX_ACCUSERS = 4;

/**
 * Below this part of what arrives at its tree's root, a puller is slow. Two children get a half.
 */
export const SLOW_PART = 0.45;

/** Between two reports closer together than this, a rate says little. */
export const MIN_RATE_SPAN_MS = 500;

/**
 * A rate is that of a puller's last few reports. A source further up that died and was replaced
 * makes no puller slow by then; a puller that is slow from the start shows after one.
 */
export const MAX_RATE_MARKS = 4;

/** A source that has all of the content is named with this many others of that kind. */
export const MAX_ALTERNATES = 2;

/** A report that was sent before an answer arrived still names the source of before. */
export const ANSWER_SETTLE_MS = 1_500;

/**
 * A leader that was told so a shorter time ago is not left for being slow: its containerd connects
 * to the upstream, and TCP starts slowly.
 */
export const LEADER_START_MS = 1_500;

// ---- What is remembered of the pullers of one digest

/** Pullers and providers of one digest: more than any fleet that was simulated. */
export const MAX_PULLERS = 10_000;

/** Provider records of one digest: more sources than that change nothing. */
export const MAX_PROVIDERS = 64;

/** Sources that only others named: any puller can make up any number of them. */
export const MAX_NAMED_SOURCES = 256;

/** Failed sources in one question that are read; an honest puller has fewer. */
export const MAX_FAILED = 64;

/** Expired entries are looked for this often: a look walks over all of them. */
export const EXPIRY_SWEEP_MS = 250;

/** A puller that missed this many reports is gone. */
export const MISSED_REPORTS = 3;

/** A host that has all of the content is remembered this long without a further word. */
export const WHOLE_MS = 600_000;

// ---- How often pullers report

/** The interval that every puller keeps, unless its tracker asks for another. */
export const REPORT_MS = 1_000;

/** Reports a second that a tracker takes for one digest; more pullers report less often. */
export const REPORTS_PER_SECOND = 1_000;

/**
 * What a tracker asks for at the most when it is busy. A puller is forgotten after three intervals
 * of its assignment, one second each at least: a report after two is still in time.
 */
export const MAX_BUSY_REPORT_MS = 2_000;

/**
 * Reported pulls a second, of all digests, above which a tracker is busy: each takes some 0.1 ms.
 */
export const BUSY_REPORTS_PER_SECOND = 1_000;

/** The bounds of what a puller lets a tracker ask for: 10,000 pullers report every 10 s. */
export const MIN_ASKED_REPORT_MS = 500;
export const MAX_ASKED_REPORT_MS = 10_000;

// ---- What a tracker keeps of all digests

/** 10,000 hosts that pull one digest, and as many that have another: some 500 bytes each. */
export const DEFAULT_ENTRY_BOUNDS = { maxEntries: 20_000, maxEntriesPerPeer: 256 } as const;

/** The part of its entries that the peer with the most loses at once: each search is a walk. */
export const EVICTED_PART = 1 / 8;

export const TRACKER_SWEEP_MS = 1_000;

/** How long a peer counts as a puller. Later, what it says about wrong bytes does not count. */
export const PULLER_MS = 60_000;

// ---- Digests of which wrong bytes came

/** As long as the host that had them leaves the digest to the upstream. */
export const SPOILT_DIGEST_MS = 3_600_000;

/**
 * One report may come from a bad disk, or be a lie: it bars a puller and its source. The second one
 * ends the sharing of the digest.
 */
export const REPORTERS_TO_BAR = 2;
export const MAX_SPOILT_DIGESTS = 256;
export const MAX_BARRED_SOURCES = 16;

// ---- Asking trackers

/** Half of a fleet may have been cut off a moment ago, and be the closest four times in a row. */
export const MAX_ASKED_TRACKERS = 5;

/** Trackers that are passed over must not leave none to ask. */
export const MAX_CONSIDERED_TRACKERS = 10;

/** After this long without an answer the next closest tracker is asked as well. */
export const TRACKER_HEDGE_MS = 100;

/**
 * How long an answer waits for one of a closer tracker that was silent lately. A tracker answers
 * within some ms; one that is back must count before the next one's `lead`.
 */
export const SILENT_TRACKER_MS = 30;

/** The next tracker waits for its report while this one is told. */
export const TELL_MS = 500;

/** A tracker that failed this often in a row is passed over. */
export const STRIKES_TO_PASS_OVER = 2;
export const PASSED_OVER_MS = 30_000;

/** An older strike had another cause. */
export const STRIKE_MEMORY_MS = 60_000;
export const MAX_TRACKERS = 1_000;

/**
 * If all sources that a tracker named fail within this time, they did not work when it named them.
 */
export const FAILED_AT_ONCE_MS = 2_000;
export const MAX_NAMED_ANSWERS = 256;

// ---- This host's own pulls

/** A layer may be complete between two reports; others are to know at once that a host has it. */
export const PROGRESS_LOOK_MS = 200;

/**
 * Before this time only the store is asked for a pull: a look at an ingest opens four files, and
 * most layers of an image are complete by then. Half of the time to the first report.
 */
export const FIRST_LOOK_MS = 500;

/** A store that hangs must not hold up what trackers are told of other pulls. */
export const PROGRESS_DEADLINE_MS = 1_000;

/** containerd may pause between its request and its ingest. */
export const PULL_GRACE_MS = 3_000;

/** While containerd renames an ingest into its store, there is a moment without either. */
export const VANISHED_MS = 1_000;

/** A pull that lasts longer is no longer reported. */
export const LONGEST_PULL_MS = 3_600_000;

/** containerd pulls three layers of an image at once: this is enough for twenty images. */
export const MAX_PULLS = 64;

// ---- How fast this host downloads

/** containerd writes a layer in steps of 1 MiB, which come rarely where a link is slow. */
export const DOWNLOAD_WINDOW_MS = 2_000;

/** A first MiB that has just come is no rate yet. */
export const MIN_DOWNLOAD_SPAN_MS = 500;

/** A shorter window measures the disk's write-back and TCP's bursts. */
export const UPSTREAM_WINDOW_MS = 1_000;

/** A host that follows most of the time measures its upstream rarely. */
export const KNOWN_RATE_MS = 3_600_000;

/** Registries whose rate is remembered; more than that no host pulls from within an hour. */
export const MAX_UPSTREAM_RATES = 64;

/** The time that a smaller download takes is containerd's and the registry's, not the link's. */
export const MIN_RATED_BYTES = 4 * 1024 * 1024;

/** The newest window's part of the running mean: a second's dip must not halve the figure. */
export const NEWEST_WINDOW_PART = 0.5;
