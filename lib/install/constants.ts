/** The service is ready after a second; under load containerd may keep it waiting. */
export const READY_TIMEOUT_MS = 90_000;

/** Longer than TimeoutStopSec of each of our units, which is 30 s at most. */
export const STOP_TIMEOUT_MS = 45_000;
