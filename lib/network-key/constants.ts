/** The policy numbers of a closed network, by subject. */

// The key file.

/** Size of a key file: two keys in libp2p's form have 200 bytes, and comments get the rest. */
export const MAX_KEY_FILE_BYTES = 4_096;

/** Keys in a file: the one in use, and during a rotation the one before or after it. */
export const MAX_NETWORK_KEYS = 2;

/** How often the key file is looked at. A rotation takes minutes, so seconds do no harm. */
export const KEY_FILE_POLL_MS = 2_000;

// Connections.

/**
 * Time for the handshake of the pre-shared key. The dialling side gives up after the same time; a
 * silent stranger must not hold a place for longer.
 */
export const KEY_HANDSHAKE_MS = 5_000;

/** Unread bytes during the handshake: nonce, header and first message of Noise have about 300. */
export const MAX_HANDSHAKE_BYTES = 65_536;

/** Hosts without our key that the log names per minute, each once: a stranger may dial forever. */
export const KEY_WARNING_MS = 60_000;
export const MAX_KEY_WARNINGS = 16;

// Signed requests.

/** How long a signature is valid, in seconds: a request is sent at once or not at all. */
export const SIGNATURE_VALID_S = 60;

/** How far the clocks of two hosts may be apart in either direction, in seconds. */
export const CLOCK_TOLERANCE_S = 300;
