/** The current state of containerd's hosts.toml files, compared with the desired state. */
export interface SettingsCheck {
  /** Number of files that have our whole block. */
  readonly present: number;
  /** Absolute paths that configuration would add, change or remove. */
  readonly absent: readonly string[];
  /** Files that our block cannot join, and why. */
  readonly leftAlone: readonly { readonly path: string; readonly message: string }[];
  /** CPU time that the check has cost, in milliseconds. */
  readonly cpuMs: number;
}

/** The settings to check. */
export interface SettingsToCheck {
  /** containerd's config_path: directories with a directory for each registry. */
  readonly roots: readonly string[];
  /** Further files on which the settings depend. */
  readonly files: readonly string[];
  /**
   * The last run of the unit that wrote the settings, as a text that changes with each run.
   * Undefined: the unit is not active.
   */
  readonly run: string | undefined;
  /**
   * Paths that this run left alone: absolute, of files or of directories with all that they hold.
   */
  readonly leftByRun: readonly string[];
  /**
   * Compares the current state with the desired one. Rejects with an Error for a person when that
   * is not possible.
   */
  check(signal: AbortSignal): Promise<SettingsCheck>;
}

/** Requests a repair of the settings. The next check shows the outcome. */
export interface RepairRequester {
  request(): void;
  /** Takes back a request that nothing has served yet. */
  withdraw(): void;
}
