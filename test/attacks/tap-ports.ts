export const DAEMON_PORT = 5000;
export const TAP_PORT = 4998;
/** The tap's own connections come from here: only others are led through it. */
export const TAP_SOURCE = '127.0.0.2';
