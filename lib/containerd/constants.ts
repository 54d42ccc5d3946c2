// Calls of containerd's API

/**
 * Deadline of a call that looks up one thing. containerd answers in milliseconds, under load in
 * some hundreds of them.
 */
export const CALL_DEADLINE_MS = 5_000;

/** Deadline of a list. A list of 6,000 blobs and 60 images takes 0.1 s on an idle machine. */
export const LIST_DEADLINE_MS = 30_000;

/** Deadline of the lists of running pulls. A pull on this host waits for them. */
export const PULLS_DEADLINE_MS = 2_000;

/** How long the commands of the command line wait for containerd to tell its version. */
export const VERSION_DEADLINE_MS = 2_000;

/** A unix socket connects at once. One that takes longer belongs to a busy containerd. */
export const SOCKET_CONNECT_MS = 1_000;

/**
 * Largest answer that the client accepts. A list of images is one message. containerd sends at most
 * 16 MiB unless its configuration raises that, and grpc-js refuses more than 4 MiB by default.
 */
export const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/**
 * HTTP/2 window for blobs that are read over gRPC. With the default of 64 KiB a stream waits for 16
 * window updates per message of Content.Read (1 MiB).
 */
export const FLOW_CONTROL_WINDOW_BYTES = 2 * 1024 * 1024;

/**
 * Longest pause of the gRPC channel between two attempts to connect. containerd restarts in 1-2 s.
 */
export const MAX_CHANNEL_PAUSE_MS = 1_000;

/** A Content.Read stream without a message for this long belongs to a containerd that hangs. */
export const READ_SILENCE_MS = 10_000;

// Sessions: following one run of containerd

/** How often a session asks whether containerd answers. A frozen one keeps its connection open. */
export const HEARTBEAT_MS = 5_000;

/** Pauses between two sessions. containerd starts in a second, so the first pauses are short. */
export const MIN_SESSION_PAUSE_MS = 250;
export const MAX_SESSION_PAUSE_MS = 5_000;

/**
 * Digests that containerd has asked for, and how long their content is expected: as for in-flight
 * sharing.
 */
export const MAX_EXPECTED = 1_024;
export const EXPECTED_MS = 60 * 60_000;

/**
 * When to look again for the labels of a new blob, each counted from the last look. Labels usually
 * follow the blob within milliseconds. A disk under the load of a pull can delay them for seconds.
 */
export const LABEL_RETRIES_MS = [20, 100, 400, 1_500, 5_000, 15_000];

/**
 * When to scan after a delete event. Garbage collection on request (`--sync`, CRI) ends before the
 * first scan, the scheduler's before the second.
 */
export const SCAN_AFTER_DELETE_MS = 1_000;
export const SCAN_AFTER_COLLECTION_MS = 10_000;

/** When to scan again after the first scan: events are missed while the subscription begins. */
export const SCAN_AFTER_SUBSCRIBE_MS = 2_000;

/**
 * Pause between two scans of everything. Garbage collection removes content without an event. Such
 * content stays advertised until the next scan, and a peer that asks for it gets a 404. A scan of
 * 6,000 blobs takes 0.1 s, half of it CPU time of this process.
 */
export const SWEEP_INTERVAL_MS = 5 * 60_000;

/** Tasks that may wait. One scan replaces all of them when there are more, and finds the same. */
export const MAX_TASKS = 2_000;

/** Deadline and number of the calls for digests that the index does not have. */
export const LOOKUP_DEADLINE_MS = 500;
export const MAX_LOOKUPS = 32;

// Files of /proc

/** The kernel gives a new process at most 2 MiB of arguments and variables by default. */
export const MAX_ENVIRON_BYTES = 2 * 1024 * 1024;

/** Size of /proc/PID/net/unix. A line has 100 bytes, and a busy host has some thousand sockets. */
export const MAX_SOCKETS_BYTES = 4 * 1024 * 1024;

/** Size of /proc/PID/comm. The kernel cuts a name after 15 bytes. */
export const MAX_COMM_BYTES = 64;

/** Processes named containerd, and descriptors of each, that are searched for a socket. */
export const MAX_CONTAINERD_PROCESSES = 256;
export const MAX_DESCRIPTORS = 4_096;
