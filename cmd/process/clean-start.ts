/**
 * Variables that change how Node runs. A value for an administrator's scripts must not change a
 * system service: log elsewhere, write coverage files as root, or disable certificate checks.
 * NODE_OPTIONS is not among them: the executable is built to ignore it (scripts/package/pack.ts).
 */
export const NODE_VARIABLES = [
  'NODE_COMPILE_CACHE',
  'NODE_DEBUG',
  'NODE_DEBUG_NATIVE',
  'NODE_EXTRA_CA_CERTS',
  'NODE_ICU_DATA',
  'NODE_NO_WARNINGS',
  'NODE_PENDING_DEPRECATION',
  'NODE_REDIRECT_WARNINGS',
  'NODE_TLS_REJECT_UNAUTHORIZED',
  'NODE_USE_ENV_PROXY',
  'NODE_USE_SYSTEM_CA',
  'NODE_V8_COVERAGE',
] as const;

/**
 * Node closes the descriptors of systemd when it executes itself again: these variables would name
 * closed ones. The unit keeps the variables above away, so that it does not come to this.
 */
const SYSTEMD_SOCKET_VARIABLES = ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES'] as const;

interface Process {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly execPath: string;
  readonly execve?: (file: string, args: string[], env: Record<string, string>) => never;
}

/**
 * Executes this program again without those variables, if one is set: Node has read them before our
 * first line runs. The process keeps its pid, files and parent.
 */
export function startClean(process: Process): void {
  if (!NODE_VARIABLES.some((name) => process.env[name] !== undefined)) return;
  const dropped: readonly string[] = [...NODE_VARIABLES, ...SYSTEMD_SOCKET_VARIABLES];
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!dropped.includes(name) && value !== undefined) env[name] = value;
  }
  // The argv of an executable has its path twice: once for node and once for the script.
  try {
    process.execve?.(process.execPath, [process.execPath, ...process.argv.slice(2)], env);
  } catch {
    // The program cannot execute itself, as under an emulator: it goes on with those variables.
  }
}
