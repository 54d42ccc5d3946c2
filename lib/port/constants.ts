/** More daemons than one host has. */
export const MAX_NOTES = 1_000;

/** Longer than any note. */
export const MAX_NOTE_BYTES = 4_096;

/** systemctl answers in milliseconds; without this bound a hung systemd would block a command. */
export const SYSTEMCTL_SHOW_TIMEOUT_MS = 3_000;
