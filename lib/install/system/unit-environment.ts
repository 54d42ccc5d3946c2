import { globSync, readFileSync } from 'node:fs';
import type { Variables } from '../../proxy/go-proxy.ts';
import { parseEnvironmentFile } from '../../systemd/environment-syntax.ts';
import { DISTRIBUTIONS, distributionOfUnit, isRancher } from './distribution.ts';
import type { Systemctl } from './systemctl.ts';

/** k3s and rke2 give CONTAINERD_NAME to their containerd as NAME (k3s, pkg/agent/containerd). */
const PREFIX = 'CONTAINERD_';

/** The units that may run containerd, for a host on which its process does not tell. */
export const UNITS: readonly string[] = DISTRIBUTIONS.flatMap(({ units }) => units);

/** Whether containerd is a part of this unit's program, which adds names of its own to NO_PROXY. */
export function isEmbedding(unit: string): boolean {
  return isRancher(distributionOfUnit(unit));
}

/** How systemd starts a unit. */
export interface StartedUnit {
  readonly name: string;
  /** The commands of the unit, as systemd prints them. */
  readonly words: string;
  readonly environment: Variables;
}

/** How systemd starts a unit. A unit that systemd does not know has no words. */
export async function startedUnit(name: string, systemctl: Systemctl): Promise<StartedUnit> {
  const words = await systemctl.call('show', '--no-pager', '--property=ExecStart', name);
  return { name, words, environment: await unitEnvironment(name, systemctl) };
}

/**
 * The environment with which systemd starts a unit the next time: that of the manager, then
 * Environment= of the unit, then its files in their order. `texts`: the text that a file will have,
 * by its path.
 */
export async function unitEnvironment(
  unit: string,
  systemctl: Systemctl,
  texts: Readonly<Record<string, string>> = {},
): Promise<Variables> {
  const manager = await systemctl.call('show', '--no-pager', '--property=Environment');
  const shown = await systemctl.call(
    'show',
    '--no-pager',
    '--property=Environment,EnvironmentFiles',
    unit,
  );
  const files = [...shown.matchAll(/^EnvironmentFiles=(.*?)(?: \(ignore_errors=\w+\))?$/gm)];
  const all: Variables = Object.assign(
    {},
    assignments(manager),
    assignments(shown),
    ...files.map(([, path = '']) => fromFiles(path, texts)),
  );
  return isEmbedding(unit) ? handedOn(all) : all;
}

/**
 * The unit that a process belongs to, by its control group, such as
 * `/system.slice/containerd.service`.
 */
export function unitOf(pid: number): string | undefined {
  try {
    const groups = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
    // The unified hierarchy, or systemd's own one of version 1: only one of them names the unit.
    const paths = groups.matchAll(/^(?:0:|\d+:name=systemd):(.*)$/gm);
    // Below user.slice the unit belongs to a user's manager, which has another environment.
    const own = [...paths].filter(([, path = '']) => !path.startsWith('/user.slice/'));
    const parts = own.flatMap(([, path = '']) => path.split('/'));
    return parts.find((part) => part.endsWith('.service'));
  } catch {
    return undefined;
  }
}

function handedOn(environment: Variables): Variables {
  const own = Object.entries(environment).filter(([name]) => name.startsWith(PREFIX));
  return {
    ...environment,
    ...Object.fromEntries(own.map(([name, value]) => [name.slice(PREFIX.length), value])),
  };
}

/** Parses the line `Environment=`: words, in shell quotes where they hold special characters. */
export function assignments(shown: string): Record<string, string> {
  const line = /^Environment=(.*)$/m.exec(shown)?.[1] ?? '';
  const env: Record<string, string> = {};
  for (const [word] of line.matchAll(/(?:\$'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S)+/g)) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(unquoted(word)) ?? [];
    if (name !== undefined && value !== undefined) env[name] = value;
  }
  return env;
}

function unquoted(word: string): string {
  const [, ansi, double] = /^(?:\$'(.*)'|"(.*)")$/s.exec(word) ?? [];
  return (ansi ?? double)?.replaceAll(/\\(.)/gs, '$1') ?? word;
}

/**
 * Parses the files of a path, which may be a pattern. A missing file counts as empty: either the
 * unit does not start without it, or it does not need it.
 */
function fromFiles(path: string, texts: Readonly<Record<string, string>>): Record<string, string> {
  const paths = /[*?[]/.test(path) ? globSync(path).sort() : [path];
  return Object.assign({}, ...paths.map((one) => fromFile(one, texts)));
}

function fromFile(path: string, texts: Readonly<Record<string, string>>): Record<string, string> {
  try {
    return parseEnvironmentFile(texts[path] ?? readFileSync(path, 'utf8'));
  } catch {
    return {};
  }
}
