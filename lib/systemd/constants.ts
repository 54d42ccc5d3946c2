/**
 * Signs of life in one watchdog time. Two are enough for an idle process. With four, one may be
 * late by three quarters of that time: on a host with little CPU left, a busy loop is not a frozen
 * one.
 */
export const BEATS_PER_WATCHDOG = 4;

/** How often systemd is asked for more time to start. */
export const EXTEND_EVERY_MS = 2_500;

/** How much time it is asked for. A start that freezes is ended after it. */
export const EXTEND_BY_MS = 6_000;

/** First pause between two looks whether the part is ready. A boot waits for it. */
export const MIN_READY_PAUSE_MS = 10;

/** Longest pause between two looks whether the part is ready. */
export const MAX_READY_PAUSE_MS = 500;
