/** How containerd's hosts.toml files are, beside what `spegel configuration` wants of them. */
export interface SettingsCheck {
  /** Files that have our block, and all of it. */
  readonly present: number;
  /** Absolute paths that configuration would add, change or remove. */
  readonly absent: readonly string[];
  /** Files that configuration does not join, and why. */
  readonly leftAlone: readonly { readonly path: string; readonly message: string }[];
  /** CPU time that the look has cost, in milliseconds. */
  readonly cpuMs: number;
}

/** What is to be looked at. */
export interface SettingsToCheck {
  /** containerd's config_path: directories with a directory for each registry. */
  readonly roots: readonly string[];
  /** Files beside them on which the settings depend. */
  readonly files: readonly string[];
  /**
   * The last run of the unit that has written them: another text after each. Undefined: it is not
   * active.
   */
  readonly run: string | undefined;
  /**
   * What that run has left alone: absolute paths of files, or of a directory with all of its own.
   */
  readonly leftByRun: readonly string[];
  /**
   * As configuration would find them. Rejects with an Error for a person when that cannot be said.
   */
  check(signal: AbortSignal): Promise<SettingsCheck>;
}

/** Has the settings put back; what came of it is seen at the next look. */
export interface RepairRequester {
  request(): void;
  /** Takes back what nobody has heard. */
  withdraw(): void;
}
