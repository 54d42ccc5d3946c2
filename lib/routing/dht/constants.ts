/** The policy numbers of the DHT. */

const MINUTE_MS = 60_000;

// Provider records: how long they count, and how many are kept.

/** Validity of a record of a peer of ours that names none. Go Spegel 0.3 uses the same. */
export const RECORD_VALIDITY_MS = 10 * MINUTE_MS;

/**
 * Validity of a record of another program's peer. Go Spegel 0.7 announces every 15 minutes, plus up
 * to two times two minutes of delay: a shorter validity would lose its content in between.
 */
export const FOREIGN_RECORD_VALIDITY_MS = 19 * MINUTE_MS;

/**
 * The longest validity that a peer may ask for, which is the longest `--advertise-ttl`. It bounds
 * for how long a host that died is offered.
 */
export const MAX_RECORD_VALIDITY_MS = 24 * 60 * MINUTE_MS;

/**
 * When a record of our own is sent again, as a share of its validity. Each batch is acknowledged
 * and repeated after a failure, so half would waste traffic; the rest of the time is for a receiver
 * that is slow or was away.
 */
export const REFRESH_AFTER = 0.7;

/**
 * Records of all peers together; each takes 100 to 250 bytes. A node holds about 20 times the keys
 * of one host, however large the fleet is: this is 12,500 keys per host. With twice as many,
 * garbage collection delayed requests by two seconds.
 */
export const MAX_RECORDS = 250_000;

/** Records of one peer: enough for a host with very many images, too few for a flood. */
export const MAX_RECORDS_PER_PEER = 100_000;

/**
 * How long the records of a peer that is gone are kept: it may be back in a moment. A peer that
 * returns later announces its keys anew. Longer would keep room for peers that only came to fill
 * the store.
 */
export const GONE_PEER_RECORDS_MS = 2 * MINUTE_MS;

/** Keys visited per call of the store's `sweep`: about 2 ms of work. */
export const KEYS_PER_SWEEP = 10_000;

/** Records evicted at once from a full store: the search for one costs as much as for many. */
export const RECORDS_PER_EVICTION = 256;

// Find providers: which peers are asked, and how long they are waited for.

/**
 * Answers that decide a miss. The 20 closest peers hold a record: content goes unnoticed only if
 * all six have lost it, or do not know which peers are closest.
 */
export const ANSWERS_PER_LOOKUP = 6;

/** Unanswering peers that are asked as well, without waiting for them, if they are connected. */
export const MAX_UNANSWERING_ASKED = 3;

/** Providers read of one answer: parsing addresses takes time, whether they are usable or not. */
export const MAX_PROVIDERS_READ = 64;

/** Candidates of one lookup: more than a mirror ever tries. */
export const MAX_CANDIDATES = 128;

/**
 * How long the candidates of a key are remembered. A pull asks for a key several times within
 * seconds (HEAD, GET, ranges); later a host may have gone.
 */
export const LOOKUP_REMEMBERED_MS = 5_000;

/** Keys whose candidates are remembered: those that are pulled at the same time, with room. */
export const MAX_LOOKUPS_REMEMBERED = 1_000;

// Prefetch: the providers of a manifest's children, looked for before containerd asks for these.

/** Keys in one question, which is a message of 5 KB: more children than most manifests have. */
export const MAX_KEYS_ASKED_TOGETHER = 128;

/** Keys that are asked for ahead of their lookups at the same time: some manifests at once. */
export const MAX_PREFETCHES_RUNNING = 512;

/**
 * How long it counts that nobody has a key: the small layers of one image are asked for within a
 * second. Longer would hide from a host what another has got meanwhile.
 */
export const MISS_REMEMBERED_MS = 2_500;

/** The longest question for the providers of many keys: 128 multihashes, with room. */
export const MAX_PROVIDERS_QUESTION_BYTES = 8_192;

/** The longest answer to it. Ours has 0.6 MB at most, and 10 KB in a fleet of some hosts. */
export const MAX_PROVIDERS_ANSWER_BYTES = 1_048_576;

/**
 * Providers of each key in such an answer, by chance, and addresses of each. Six peers answer, and
 * a lookup goes on where all that they named gave nothing.
 */
export const MAX_PROVIDERS_TOLD_PER_KEY = 4;
export const MAX_PROVIDER_ADDRESSES_TOLD = 8;

/** Such questions to one peer that may wait for their answers. */
export const MAX_PROVIDERS_QUESTIONS_PENDING = 16;

/** Streams for them that we open per connection: the one that stays open, and its successors. */
export const MAX_PROVIDERS_STREAMS_OPENED = 4;

/** How long a peer that failed such a question is not asked one again. */
export const PROVIDERS_REFUSED_MS = 10_000;

/** Bounds of the adaptive timeout after which another peer is asked as well. */
export const HEDGE_AFTER_MS = { min: 20, max: 75 } as const;

/**
 * Bounds of the adaptive timeout after which a peer counts as silent. The pause of a busy peer's
 * garbage collector or scheduler is shorter than the minimum. Above the maximum, a resolve timeout
 * of 200 ms would be over before another peer was asked.
 */
export const SILENT_AFTER_MS = { min: 100, max: 150 } as const;

/** First guess of a peer's response time: a round trip in a data centre and some work. */
export const FIRST_RESPONSE_GUESS_MS = 5;

/** Weight of a new measurement in the running mean of response times. */
export const RESPONSE_SAMPLE_WEIGHT = 0.1;

// Provide: how own keys are announced.

/** The layers of one image arrive together: the first one waits this long for the others. */
export const PROVIDE_DELAY_MS = 25;

/**
 * From one batch to the next: small layers come every 10 ms for seconds, and each batch is a
 * question and an answer for every receiver. The digest's tracker knows of a layer at once.
 */
export const PROVIDE_PAUSE_MS = 250;

/** Records per acknowledged batch: about 20 KB, which the peer reads in one or two milliseconds. */
export const RECORDS_PER_BATCH = 128;

/** Peers that are sent to at the same time: at most 32 batches of 20 KB are in memory. */
export const MAX_PEERS_SENT_TO = 32;

/** Batches that may fail in a row before a peer's queue is dropped. */
export const MAX_BATCH_FAILURES = 4;

/** Waits before a failed batch is sent again. */
export const BATCH_RETRY = { minMs: 500, maxMs: 8_000 } as const;

/**
 * A peer that joins gets all of its keys at once this often per window: it may be restarted by
 * hand. A peer that comes and goes all the time gets them by the refresh only.
 */
export const FULL_SENDS_PER_WINDOW = 4;
export const FULL_SEND_WINDOW_MS = 30_000;

/** Peers whose full sends are counted: as many as the routing table takes. */
export const MAX_FULL_SENDS_COUNTED = 10_000;

/** Steps in which the refresh is spread over its interval. */
export const STEPS_PER_REFRESH = 14;

/**
 * Distances computed per turn of the event loop: a few milliseconds. Without the bound, a lookup
 * would wait while a host with 50,000 keys starts.
 */
export const DISTANCES_PER_TURN = 50_000;

// Routing table and streams.

/**
 * Peers in the routing table. Each one costs a connection and memory; the number is far above the
 * fleets that one DHT without zones can serve.
 */
export const MAX_TABLE_PEERS = 10_000;

/**
 * Time for opening a stream, a dial included: a busy peer behind a slow link takes seconds for the
 * handshakes.
 */
export const STREAM_OPEN_MS = 5_000;

/**
 * When a stream of ours without requests is closed. Shorter than the idle timeouts of kad-dht and
 * Go, so that a request is never written into a stream that the other side resets.
 */
export const OUTBOUND_STREAM_IDLE_MS = 8_000;

/**
 * When a peer's stream without requests is closed, as in Go. A peer that needs it again opens a new
 * one.
 */
export const INBOUND_STREAM_IDLE_MS = MINUTE_MS;

/** How long a peer may leave its answers unread before its stream ends. */
export const ANSWERS_UNREAD_MS = 10_000;

/** Bytes of answers that a peer has not read yet; above, no more of its questions are answered. */
export const MAX_ANSWERS_UNREAD_BYTES = 131_072;

/** Bytes of questions kept of a peer that sends faster than it is answered. */
export const MAX_QUESTIONS_QUEUED_BYTES = 65_536;

/** The longest DHT request. An ADD_PROVIDER with all its addresses has 2 KiB at most. */
export const MAX_DHT_REQUEST_BYTES = 16_384;

/** The longest DHT answer. Go Spegel names every provider of a key, with 100 bytes each. */
export const MAX_DHT_ANSWER_BYTES = 1_048_576;

/** DHT requests on one stream that may wait for their answers. */
export const MAX_DHT_REQUESTS_PENDING = 256;

/** How long a DHT request waits for its answer before the stream is given up. */
export const DHT_ANSWER_MS = 10_000;

/** Providers in one answer of ours: more than a mirror ever tries. Chance decides which ones. */
export const MAX_PROVIDERS_TOLD = 32;

// Time of this thread that peers may use by their questions.

/**
 * For all peers: a fleet that is switched on at once asks for a second or two, and no flood gets
 * more than half of a core.
 */
export const QUESTIONS_OF_ALL = { share: 0.4, burstMs: 400 } as const;

/** For the peers of one network: enough for the thousands of records of a host that starts. */
export const QUESTIONS_PER_NETWORK = { share: 0.15, burstMs: 250 } as const;

/** Work without a pause: a request of this host's containerd waits until it is over. */
export const QUESTION_SLICE_MS = 4;

/** Streams whose questions wait, each with its window of bytes; a further one is ended. */
export const MAX_STREAMS_WAITING = 256;

/** Streams of one network that ask at the same time. */
export const MAX_STREAMS_PER_NETWORK = 96;

/** Networks whose use is counted: more than a fleet has. */
export const MAX_NETWORKS_COUNTED = 10_000;

/** How long the use of a network that asks nothing is remembered. */
export const NETWORK_USE_FORGET_MS = MINUTE_MS;
