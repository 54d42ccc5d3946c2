import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { EXECUTABLE, SERVICE_FILE } from '../system/layout.ts';
import { VERSION_TIMEOUT_MS } from './constants.ts';

/** How an installation changes the version on a host. */
export interface VersionChange {
  /** Undefined: no version was installed, or the executable does not tell. */
  readonly from: string | undefined;
  readonly to: string;
  readonly kind: 'first' | 'upgrade' | 'downgrade' | 'same' | 'unknown';
}

/**
 * Compares the installed executable with version `to`. Never rejects for what that executable does.
 */
export async function versionChange(to: string, signal: AbortSignal): Promise<VersionChange> {
  // Without our unit the executable belongs to another program: it is not run.
  if (!existsSync(EXECUTABLE) || !existsSync(SERVICE_FILE))
    return { from: undefined, to, kind: 'first' };
  const from = await installedVersion(signal);
  if (from === undefined) return { from, to, kind: 'unknown' };
  const order = compareVersions(from, to);
  const kind =
    order === undefined ? 'unknown' : order < 0 ? 'upgrade' : order > 0 ? 'downgrade' : 'same';
  return { from, to, kind };
}

/** Parses what the executable prints: `spegel 0.1.0 (commit …)`. */
function installedVersion(signal: AbortSignal): Promise<string | undefined> {
  const options = { timeout: VERSION_TIMEOUT_MS, killSignal: 'SIGKILL', signal, env: {} } as const;
  return new Promise((resolve, reject) => {
    execFile(EXECUTABLE, ['version'], options, (_error, stdout) => {
      if (signal.aborted) reject(signal.reason);
      else resolve(/^spegel (\S+)/.exec(stdout)?.[1]);
    });
  });
}

/**
 * Negative: `one` comes before `other` (Semantic Versioning 2.0.0, 11; build metadata does not
 * count). Undefined: one of them is no such version.
 */
export function compareVersions(one: string, other: string): number | undefined {
  const [a, b] = [parse(one), parse(other)];
  if (a === undefined || b === undefined) return one === other ? 0 : undefined;
  for (const [index, number] of a.numbers.entries()) {
    const far = number - (b.numbers[index] ?? 0);
    if (far !== 0) return far;
  }
  // 1.0.0-rc.1 comes before 1.0.0.
  if (a.pre.length === 0 || b.pre.length === 0) return b.pre.length - a.pre.length;
  for (let index = 0; index < Math.max(a.pre.length, b.pre.length); index += 1) {
    const far = comparePart(a.pre[index], b.pre[index]);
    if (far !== 0) return far;
  }
  return 0;
}

function parse(version: string) {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(?:-([\w.-]+))?(?:\+\S*)?$/.exec(version);
  if (match === null) return undefined;
  return { numbers: match.slice(1, 4).map(Number), pre: match[4]?.split('.') ?? [] };
}

/** Numbers come before words, and fewer parts before more. */
function comparePart(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined)
    return (a === undefined ? 0 : 1) - (b === undefined ? 0 : 1);
  const [x, y] = [a, b].map((part) => (/^\d+$/.test(part) ? Number(part) : undefined));
  if (x !== undefined && y !== undefined) return x - y;
  if (x !== undefined || y !== undefined) return x === undefined ? 1 : -1;
  return a < b ? -1 : a > b ? 1 : 0;
}
