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
  /** Sockets at which further containerds answer. The administrator has not chosen between them. */
  readonly others: readonly string[];
}

/**
 * Finds containerd: at the socket `given`, else at the first known socket that answers. Where none
 * answers, the installed distribution decides. `root`: the root directory of the host. Never
 * rejects for what the host has.
 */
export async function findContainerd(
  given: string | undefined,
  signal: AbortSignal,
  root = '/',
): Promise<FoundContainerd> {
  const [socket = CONTAINERD.socket, ...others] =
    given === undefined ? await knownSockets(signal, root) : [given];
  const running = await runningUnit(join(root, socket), signal);
  const distribution =
    running === undefined ? distributionOfSocket(socket, root) : distributionOfUnit(running);
  const unit =
    running ??
    unitOfLastInstallation(distribution, root) ??
    installedUnit(distribution, root) ??
    distribution.units[0];
  return { socket, distribution, unit, others };
}

/** The unit that ran containerd at the last installation: k3s gives its unit any name. */
function unitOfLastInstallation(distribution: Distribution, root: string): string | undefined {
  try {
    const text = readFileSync(join(root, CONTAINERD_UNIT_FILE), 'utf8');
    const unit = /^After=(\S+)$/m.exec(text)?.[1];
    return unit !== undefined && distributionOfUnit(unit) === distribution ? unit : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The settings by which the services find this containerd: its socket, and the directory of its
 * hosts.toml files. Empty where both are the defaults of Spegel.
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

/**
 * The config_path of a running containerd; undefined: it does not run, has none, or does not tell.
 */
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

/** The known sockets that answer, or else the socket that is most likely to. */
async function knownSockets(signal: AbortSignal, root: string): Promise<readonly string[]> {
  const sockets = [...new Set(DISTRIBUTIONS.map(({ socket }) => socket))];
  const answers = await Promise.all(sockets.map((socket) => accepts(join(root, socket), signal)));
  const there = sockets.filter((_, index) => answers[index]);
  if (there.length > 0) return there;
  const left = sockets.find((socket) => existsSync(join(root, socket)));
  const installed = DISTRIBUTIONS.find((one) => installedUnit(one, root) !== undefined);
  return [installed?.socket ?? left ?? CONTAINERD.socket];
}

/** A socket file outlives its containerd. */
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
 * containerd's list of directories, if Spegel has only its default and that is in the list;
 * undefined: Spegel's setting stays.
 */
export function listToTake(
  { configPath }: Pick<CriSettings, 'configPath'>,
  hostsPaths: readonly string[],
): readonly string[] | undefined {
  const listed = configPath.split(':').map((path) => join(path));
  const isList = listed.length > 1 && listed.every((path) => path.startsWith('/'));
  const isOurs = hostsPaths.every((path) => listed.includes(path));
  const isEachOnce = new Set(listed).size === listed.length;
  return isList && isOurs && isEachOnce ? listed : undefined;
}
