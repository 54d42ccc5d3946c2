import { readlinkSync } from 'node:fs';
import { environmentOf } from '../../containerd/process.ts';
import { changedAt } from '../system/files.ts';
import { advice, type Finding } from '../system/finding.ts';
import { ENVIRONMENT_FILE, EXECUTABLE, SERVICE_UNIT } from '../system/layout.ts';
import type { Systemctl, UnitState } from '../system/systemctl.ts';
import { unitEnvironment } from '../system/unit-environment.ts';

/** Whether the executable of a process was replaced since it started. */
export function runsReplacedExecutable(pid: number): boolean {
  try {
    return pid !== 0 && readlinkSync(`/proc/${pid}/exe`) !== EXECUTABLE;
  } catch {
    // The process has just ended: systemd starts the new file.
    return false;
  }
}

/**
 * Those of these variables that the running service has with another value than its next
 * start. Empty if its process cannot be read.
 */
export async function changedVariables(
  { pid }: UnitState,
  names: readonly string[],
  systemctl: Systemctl,
): Promise<string[]> {
  const running = pid === 0 ? undefined : await environmentOf(pid);
  if (running === undefined) return [];
  const next = await unitEnvironment(SERVICE_UNIT, systemctl);
  const all = names.flatMap((name) => [name, `SPEGEL_${name}`]);
  return all.filter((name) => running[name]?.trim() !== next[name]?.trim());
}

/** Reports a service that runs with an old executable, unit or settings. */
export async function staleServiceFindings(
  state: UnitState,
  names: readonly string[],
  systemctl: Systemctl,
): Promise<Finding[]> {
  const changed = await changedVariables(state, names, systemctl);
  const findings: Finding[] = [];
  if (changed.length > 0) {
    const isHeld = changed.some((name) => name.endsWith('REGISTRY_ADDR'));
    const text = `expected ${SERVICE_UNIT} to run with what ${ENVIRONMENT_FILE} says, got other values of ${changed.join(', ')}: it was started before`;
    const lines = [isHeld ? 'spegel install' : 'systemctl restart spegel'];
    findings.push(advice('stale-settings', text, lines, changedAt(ENVIRONMENT_FILE)));
  }
  if (runsReplacedExecutable(state.pid)) {
    const text = `expected ${SERVICE_UNIT} to run ${EXECUTABLE} as it is now, got a former one: it was started before`;
    findings.push(advice('stale-executable', text, ['spegel install'], changedAt(EXECUTABLE)));
  } else if (state.needsReload) {
    const text = `expected ${SERVICE_UNIT} to run as its unit says, got a unit that systemd has not read since it was changed`;
    findings.push(advice('stale-unit', text, ['systemctl daemon-reload', 'spegel install']));
  }
  return findings;
}
