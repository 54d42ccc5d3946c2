/** A pull that containerd is doing, seen by its lease. */
export interface RunningPull {
  /** The namespace and the id of the lease: unique on this host. */
  readonly id: string;
  readonly namespace: string;
  /** Time of the wall clock, in milliseconds since 1970. */
  readonly startedAt: number;
}
