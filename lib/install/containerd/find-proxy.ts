import { untilAborted } from '../../base/abortable.ts';
import { SpegelError } from '../../base/errors.ts';
import { ContainerdApi } from '../../containerd/api.ts';
import { ContainerdClient } from '../../containerd/client.ts';
import { environmentOf, pidOf } from '../../containerd/process.ts';
import { runningProxy } from '../../containerd/proxy-reader.ts';
import { type ContainerdProxy, proxyOf } from '../../proxy/containerd-proxy.ts';
import type { Systemctl } from '../system/systemctl.ts';
import { isEmbedding, UNITS, unitEnvironment, unitOf } from '../system/unit-environment.ts';
import { PROXY_READ_TIMEOUT_MS } from './constants.ts';

/** What a host tells of the proxy of its containerd. */
export interface FoundProxy {
  /** The proxy that its process was started with; undefined: the process may not be read. */
  readonly running: ContainerdProxy | undefined;
  /** The unit that runs it, and the proxy of its next start; undefined: no unit is known. */
  readonly unit: { readonly name: string; readonly proxy: ContainerdProxy } | undefined;
}

/** Finds the proxy of the containerd behind a socket. Undefined: containerd does not answer. */
export async function findProxy(
  socket: string,
  systemctl: Systemctl,
  signal: AbortSignal,
): Promise<FoundProxy | undefined> {
  const client = new ContainerdClient(socket);
  try {
    const pid = await pidOf(new ContainerdApi(client), socket, signal);
    const environment = pid === undefined ? undefined : await environmentOf(pid);
    const name = pid === undefined ? await activeUnit(systemctl) : unitOf(pid);
    return {
      running: environment && proxyOf(environment),
      unit: name === undefined ? undefined : await unitProxy(name, systemctl),
    };
  } catch {
    signal.throwIfAborted();
    return undefined;
  } finally {
    client.close();
  }
}

/** The proxy with which a containerd was started; undefined if that is not known in time. */
export async function readRunningProxy(
  socket: string,
  signal: AbortSignal,
): Promise<ContainerdProxy | undefined> {
  const client = new ContainerdClient(socket);
  const within = AbortSignal.any([signal, AbortSignal.timeout(PROXY_READ_TIMEOUT_MS)]);
  try {
    // The search among processes does not listen to the signal.
    return await untilAborted(runningProxy(new ContainerdApi(client), socket, within), within);
  } catch {
    signal.throwIfAborted();
    return undefined;
  } finally {
    client.close();
  }
}

/** If systemd does not know the unit any more, the process alone tells. */
async function unitProxy(name: string, systemctl: Systemctl): Promise<FoundProxy['unit']> {
  try {
    return { name, proxy: proxyOf(await unitEnvironment(name, systemctl)) };
  } catch (error) {
    if (error instanceof SpegelError) return undefined;
    throw error;
  }
}

async function activeUnit(systemctl: Systemctl): Promise<string | undefined> {
  for (const unit of UNITS) if ((await systemctl.state(unit)).active === 'active') return unit;
  return undefined;
}

/**
 * The proxy of the process, or else the one that its unit names. A unit without a proxy proves
 * nothing: the program that it runs may set one by itself.
 */
export function knownProxy({ running, unit }: FoundProxy): ContainerdProxy | undefined {
  return running ?? (unit?.proxy.isNone === false ? unit.proxy : undefined);
}

/**
 * Whether the next start of containerd brings another proxy. k3s adds names of its own to NO_PROXY.
 */
export function changesAtRestart({ running, unit }: FoundProxy): boolean {
  if (running === undefined || unit === undefined) return false;
  const isPart = isEmbedding(unit.name);
  const textOf = ({ environment: { NO_PROXY, ...proxies } }: ContainerdProxy) =>
    JSON.stringify([proxies, isPart ? '' : (NO_PROXY ?? '')]);
  return textOf(running) !== textOf(unit.proxy);
}
