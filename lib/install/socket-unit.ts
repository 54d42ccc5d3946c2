import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { formatHostPort } from '../base/address.ts';
import type { Listener } from './host-check.ts';

/** `00000000000000000000000000000000:1388 …:0000 0A`: an address with its port in hexadecimal, and the state LISTEN. */
const LISTENING = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:0000 0A(?: +\S+){5} +(\d+)/;

/**
 * The unit by which systemd holds the registry's address. Undefined for port 0, which the kernel chooses
 * anew each time.
 */
export function socketUnit(
  text: string,
  { host, port }: Pick<Listener, 'host' | 'port'>,
): string | undefined {
  if (port === 0) return undefined;
  const address = host === '' ? `${port}` : formatHostPort(host, port);
  return text.replace(/^ListenStream=.*$/m, `ListenStream=${address}`);
}

/**
 * Whether systemd itself has the port: `systemctl show` says what the unit wants, also when that has been changed since
 * the socket was made. For root.
 */
export function isHeldBySystemd(port: number): boolean {
  const inodes = new Set(['tcp', 'tcp6'].flatMap((name) => listeningInodes(name, port)));
  if (inodes.size === 0) return false;
  return readdirSync('/proc/1/fd').some((name) => inodes.has(linkOf(`/proc/1/fd/${name}`)));
}

function listeningInodes(table: string, port: number): string[] {
  const lines = readTable(`/proc/net/${table}`).split('\n');
  return lines.flatMap((line) => {
    const [, hex = '', inode] = LISTENING.exec(line) ?? [];
    return Number.parseInt(hex, 16) === port ? [`socket:[${inode}]`] : [];
  });
}

/** Without IPv6 there is no table of it. */
function readTable(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** It may have been closed since. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
