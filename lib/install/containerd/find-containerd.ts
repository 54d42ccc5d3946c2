import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { ContainerdApi } from '../../containerd/api.ts';
import { ContainerdClient } from '../../containerd/client.ts';
import { pidOf } from '../../containerd/process.ts';
import type { Variables } from '../../proxy/go-proxy.ts';
import {
  CONTAINERD,
  DISTRIBUTIONS,
  type Distribution,
  distributionOfSocket,
  distributionOfUnit,
  installedUnit,
} from '../system/distribution.ts';
import { CONTAINERD_UNIT_FILE } from '../system/layout.ts';
import { unitOf } from '../system/unit-environment.ts';
import { ACCEPT_TIMEOUT_MS } from './constants.ts';
import { readCriConfig } from './cri-config.ts';
import type { CriSettings } from './cri-settings.ts';

/** The containerd that an installation is for. */
export interface FoundContainerd {
  readonly socket: string;
  readonly distribution: Distribution;
  /** The unit that runs it, such as `k3s-agent.service`. */
  readonly unit: string;
  /** Sockets at which another one answers, and nobody has chosen between them. */
  readonly others: readonly string[];
}

/**
 * Finds containerd: at the socket `given`, or else at the one of the known sockets that somebody
 * answers at; where nobody does, at that of what is installed. `root`: of the host's file system.
 * Never rejects for what the host has.
 */
export async function findContainerd(
  given: string | undefined,
  signal: AbortSignal,
  root = '/',
): Promise<FoundContainerd> {
  const [socket = CONTAINERD.socket, ...others] =
    given === undefined ? await known(signal, root) : [given];
  const running = await runningUnit(join(root, socket), signal);
  const distribution =
    running === undefined ? distributionOfSocket(socket, root) : distributionOfUnit(running);
  const unit =
    running ??
    notedUnit(distribution, root) ??
    installedUnit(distribution, root) ??
    distribution.units[0];
  return { socket, distribution, unit, others };
}

/** The one that the last installation saw run it: k3s has its unit under any name. */
function notedUnit(distribution: Distribution, root: string): string | undefined {
  try {
    const text = readFileSync(join(root, CONTAINERD_UNIT_FILE), 'utf8');
    const unit = /^After=(\S+)$/m.exec(text)?.[1];
    return unit !== undefined && distributionOfUnit(unit) === distribution ? unit : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The settings of the environment file that make a containerd of a distribution known to the
 * services: its socket, and the directory that it reads hosts.toml files in. Empty for a containerd
 * that is where ours looks by itself.
 */
export async function containerdSettings(
  { socket, distribution }: FoundContainerd,
  signal: AbortSignal,
): Promise<Variables> {
  const running = await runningConfigPath(socket, signal);
  const list = listToTake({ configPath: running ?? '' }, [CONTAINERD.hostsPath])?.join(':');
  const path =
    distribution === CONTAINERD
      ? (list ?? CONTAINERD.hostsPath)
      : (running ?? distribution.hostsPath);
  return {
    ...(socket === CONTAINERD.socket ? {} : { CONTAINERD_SOCK: socket }),
    ...(path === CONTAINERD.hostsPath ? {} : { CONTAINERD_REGISTRY_CONFIG_PATH: path }),
  };
}

/** The one that containerd runs with; undefined: it does not run, has none, or does not tell. */
async function runningConfigPath(socket: string, signal: AbortSignal): Promise<string | undefined> {
  const client = new ContainerdClient(socket);
  try {
    const api = new ContainerdApi(client);
    const version = await api.version(signal);
    const { settings } = await readCriConfig(api, { version, socket }, signal);
    return settings.configPath.startsWith('/') ? settings.configPath : undefined;
  } catch {
    signal.throwIfAborted();
    return undefined;
  } finally {
    client.close();
  }
}

/** The sockets at which somebody answers, or else the one at which somebody will. */
async function known(signal: AbortSignal, root: string): Promise<readonly string[]> {
  const sockets = [...new Set(DISTRIBUTIONS.map(({ socket }) => socket))];
  const answers = await Promise.all(sockets.map((socket) => accepts(join(root, socket), signal)));
  const there = sockets.filter((_, index) => answers[index]);
  if (there.length > 0) return there;
  const left = sockets.find((socket) => existsSync(join(root, socket)));
  const installed = DISTRIBUTIONS.find((one) => installedUnit(one, root) !== undefined);
  return [installed?.socket ?? left ?? CONTAINERD.socket];
}

/** A socket outlives its containerd as a file. */
function accepts(path: string, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  if (!existsSync(path)) return Promise.resolve(false);
  const within = AbortSignal.any([signal, AbortSignal.timeout(ACCEPT_TIMEOUT_MS)]);
  const socket = connect({ path, signal: within });
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  }).finally(() => socket.destroy()) as Promise<boolean>;
}

async function runningUnit(socket: string, signal: AbortSignal): Promise<string | undefined> {
  if (!(await accepts(socket, signal))) return undefined;
  const client = new ContainerdClient(socket);
  try {
    const pid = await pidOf(new ContainerdApi(client), socket, signal);
    return pid === undefined ? undefined : unitOf(pid);
  } catch {
    signal.throwIfAborted();
    return undefined;
  } finally {
    client.close();
  }
}

/**
 * The list that containerd has where Spegel was told nothing and its own directory is in that list;
 * undefined: what Spegel has is to stay.
 */
export function listToTake(
  { configPath }: Pick<CriSettings, 'configPath'>,
  hostsPaths: readonly string[],
): readonly string[] | undefined {
  const listed = configPath.split(':').map((path) => join(path));
  const isList = listed.length > 1 && listed.every((path) => path.startsWith('/'));
  const isOurs = hostsPaths.every((path) => listed.includes(path));
  const isPlain = new Set(listed).size === listed.length;
  return isList && isOurs && isPlain ? listed : undefined;
}
