/**
 * A part of the daemon lives between `start` and `stop`. `start` resolves when the part does its
 * job and rejects when it never can; aborting its signal ends every wait inside. `stop` may be
 * called twice, never rejects for what was already gone, and resolves when nothing of the part runs
 * any more.
 */
export interface Part {
  start(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}
