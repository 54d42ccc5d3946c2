/** The policy numbers of bodies that come from many sources. */

const MIB = 1024 * 1024;

/** A smaller chunk would cost more requests per byte, and a larger one is waited for too long. */
export const MIN_CHUNK_BYTES = MIB;
export const MAX_CHUNK_BYTES = 4 * MIB;

/** How long a source takes for a chunk at the rate of the first one, in milliseconds. */
export const CHUNK_MS = 80;

/** How far a body reads ahead of its client. */
export const WINDOW_BYTES = 32 * MIB;

/** For the windows of all bodies of this host. */
export const MAX_WINDOWS_BYTES = 64 * MIB;

/** Buffers that wait for the next chunk: more would be memory that nobody uses. */
export const MAX_FREE_CHUNK_BYTES = 16 * MIB;

/** A body that comes sooner is here before a second source pays. */
export const MIN_REST_MS = 400;

// ---- When the source is the limit

/** Over so much time it shows whether a source is the limit. */
export const LIMIT_WINDOW_MS = 60;

/** The part of that time in which the client waits for the source. */
export const LIMIT_SHARE = 0.5;

/** How much the first source gives alone while the others begin, in milliseconds of its rate. */
export const FIRST_CHUNK_MS = 100;

/** Its part is a multiple of this: a page, a pipe and most buffers fit. */
export const FIRST_STEP_BYTES = 64 * 1024;

/**
 * All together are to give so many times what the first one gives alone. Less may be an illusion: a
 * link lets the first bytes of an answer through faster than those behind.
 */
export const WORTH = 1.5;

/** When others brought nothing, they are looked for again after so long. */
export const LOOK_PAUSE_MS = 2_000;

// ---- How many sources

/** Sources of one body at first: four of 100 Mbit/s fill a link of 400. */
export const FIRST_SOURCES = 4;

/** Each connection costs memory here and there, and no body needs more. */
export const MAX_SOURCES = 8;
export const MORE_SOURCES = 2;

/** How long it is measured what the last sources that were added gave. */
export const STEP_MS = 250;

/** Without so much growth of all that comes to this host, its own link is full. */
export const GROWTH = 1.2;

/** Links change: a host may move, or get a second link. */
export const FULL_LINK_MEMORY_MS = 2 * 60_000;

/** A link that carries this part of what filled it has no room for a second source. */
export const FULL_SHARE = 0.8;

// ---- Which chunk

/** A rate is measured over one or two of these. */
export const RATE_STEP_MS = 100;

/** What a source gave before tells nothing after so long without a request. */
export const RATE_MEMORY_MS = 1_000;

/** A chunk is late when another source would have the rest of it in half of the time, and this. */
export const LATE_MS = 20;

/** How often sources without work look whether a chunk is late. */
export const LOOK_AGAIN_MS = 25;
