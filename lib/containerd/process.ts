import { readdir, readlink, realpath } from 'node:fs/promises';
import { readSmallFile } from '../base/read-small-file.ts';
import type { ContainerdApi } from './api.ts';
import {
  MAX_COMM_BYTES,
  MAX_CONTAINERD_PROCESSES,
  MAX_DESCRIPTORS,
  MAX_ENVIRON_BYTES,
  MAX_SOCKETS_BYTES,
} from './constants.ts';

/**
 * The environment with which a process was started. Undefined if it is gone or this process may not
 * read it.
 */
export async function environmentOf(pid: number): Promise<Record<string, string> | undefined> {
  const text = await readOrNone(`/proc/${pid}/environ`, MAX_ENVIRON_BYTES);
  // A process that ends, or one of the kernel, has an empty environment. It tells nothing.
  if (text === undefined || text === '') return undefined;
  const environment: Record<string, string> = {};
  for (const entry of text.split('\0')) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(entry) ?? [];
    // Go uses the first of two variables with the same name.
    if (name !== undefined && value !== undefined) environment[name] ??= value;
  }
  return environment;
}

/** The pid in /proc of the containerd that listens on a socket. Undefined if it cannot be found. */
export async function pidOf(
  api: ContainerdApi,
  socket: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const { pid, pidns } = await api.process(signal);
  if (pid === 0) return listenerOf(socket);
  // The pid is only valid in containerd's pid namespace.
  const own = await readlink('/proc/self/ns/pid').catch(() => '');
  return own === `pid:[${pidns}]` ? pid : undefined;
}

/**
 * Searches the processes named containerd for the one that listens on a unix socket. Undefined if
 * this process may not look at it.
 */
export async function listenerOf(socket: string): Promise<number | undefined> {
  const path = await realpath(socket).catch(() => socket);
  const socketsByNetwork = new Map<string, Promise<ReadonlySet<string>>>();
  let candidates = 0;
  for (const name of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(name)) continue;
    if ((await readOrNone(`/proc/${name}/comm`, MAX_COMM_BYTES)) !== 'containerd\n') continue;
    const network = await readlink(`/proc/${name}/ns/net`).catch(() => '');
    const sockets = socketsByNetwork.get(network) ?? listeningSockets(name, path);
    socketsByNetwork.set(network, sockets);
    if (await holdsSocket(name, await sockets)) return Number(name);
    candidates += 1;
    if (candidates === MAX_CONTAINERD_PROCESSES) return undefined;
  }
  return undefined;
}

async function holdsSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  if (inodes.size === 0) return false;
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const descriptor of descriptors.slice(0, MAX_DESCRIPTORS)) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
    if (inodes.has(target)) return true;
  }
  return false;
}

/**
 * The sockets that listen at `path` in the network namespace of a process, as /proc/PID/fd names
 * them.
 */
async function listeningSockets(pid: string, path: string): Promise<ReadonlySet<string>> {
  const text = (await readOrNone(`/proc/${pid}/net/unix`, MAX_SOCKETS_BYTES)) ?? '';
  const found = new Set<string>();
  for (const line of text.split('\n')) {
    // Columns: Num RefCount Protocol Flags Type St Inode Path. The flag __SO_ACCEPTCON is 1 << 16.
    const [, flags = '', inode, at] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (\/.*)$/.exec(line) ?? [];
    if (at === undefined || (Number.parseInt(flags, 16) & 0x10000) === 0) continue;
    const real = at === path ? path : await realpath(at).catch(() => at);
    if (real === path) found.add(`socket:[${inode}]`);
  }
  return found;
}

async function readOrNone(path: string, maxBytes: number): Promise<string | undefined> {
  try {
    return await readSmallFile(path, maxBytes);
  } catch {
    return undefined;
  }
}
