/**
 * Variables by which a Node runs otherwise: what was meant for somebody's scripts must not change a system
 * service, log elsewhere, write coverage files as root or switch certificate checks off. NODE_OPTIONS is
 * not among them, the executable is built to ignore it (scripts/package/pack.ts).
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
 * Node closes what systemd holds when it begins anew, so these would name descriptors that are gone. The
 * unit keeps the other variables away, and nothing begins anew there.
 */
const HELD = ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES'] as const;

interface Process {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly execPath: string;
  readonly execve?: (file: string, args: string[], env: Record<string, string>) => never;
}

/**
 * Begins anew without those variables if one is set: Node has read them before our first line runs. It is
 * the same process then, with the same pid, files and parent.
 */
export function startClean(process: Process): void {
  if (!NODE_VARIABLES.some((name) => process.env[name] !== undefined)) return;
  const dropped: readonly string[] = [...NODE_VARIABLES, ...HELD];
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!dropped.includes(name) && value !== undefined) env[name] = value;
  }
  // An executable's argv has itself twice: in the place of node, and in that of the script.
  try {
    process.execve?.(process.execPath, [process.execPath, ...process.argv.slice(2)], env);
  } catch {
    // Not to be started again, as under an emulator: better with those variables than not at all.
  }
}
