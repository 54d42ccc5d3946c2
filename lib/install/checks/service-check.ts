import { environmentOf } from '../../containerd/process.ts';
import type { ConfigurationSettings } from '../../hosts/configuration-settings.ts';
import type { Variables } from '../../proxy/go-proxy.ts';
import { advice, type Finding } from '../system/finding.ts';
import { CONFIGURATION_UNIT, SERVICE_UNIT } from '../system/layout.ts';
import { isHeldBySystemd, type Listener } from '../system/socket-unit.ts';
import { isMasked, isUp, type Systemctl, type UnitState } from '../system/systemctl.ts';
import { type SettingsOutcome, settingsOutcome, targetAnswerFindings } from './mirror-check.ts';
import { type PeerSettings, peerFindings } from './peers-check.ts';
import { staleServiceFindings } from './running-check.ts';

export interface DesiredService {
  readonly start: boolean;
  readonly registry: Listener;
  readonly peers: PeerSettings;
  readonly containerd: { readonly socket: string };
  readonly hostsPaths: readonly string[];
  readonly mirrors: ConfigurationSettings;
  /** What the configuration unit learned of containerd in its last run; undefined: nothing. */
  readonly recordedContainerd2: boolean | undefined;
  /** The command line sets something that cannot be in force yet. */
  readonly isChanging: boolean;
  /** Another finding names a target that is not this host. */
  readonly areTargetsReported: boolean;
  /** Where a service with this environment serves its metrics; undefined: the value is wrong. */
  readonly metricsIn: (environment: Variables) => Listener | undefined;
  /** The variables of the service's options. */
  readonly optionVariables: readonly string[];
}

/**
 * Whether the installed service runs as it should, and whether its mirror works. Without `start` it
 * need only be enabled.
 */
export async function serviceFindings(
  desired: DesiredService,
  systemctl: Systemctl,
  signal: AbortSignal,
): Promise<Finding[]> {
  const state = await systemctl.state(SERVICE_UNIT);
  const isEnabled = await systemctl.isEnabled(SERVICE_UNIT);
  const findings = enabledFindings(desired.start, state, isEnabled);
  if (!isUp(state)) return findings;
  const { registry, mirrors, optionVariables, areTargetsReported } = desired;
  const settings = await systemctl.state(CONFIGURATION_UNIT);
  const environment = await environmentOf(state.pid);
  // The address in force now: another finding reports a change that is not in force, or is wrong.
  const metrics = environment && desired.metricsIn(environment);
  const peers = { ...desired.peers, metrics: metrics ?? desired.peers.metrics };
  const isLookedAt = (isUp(settings) || !isMasked(settings)) && !desired.isChanging;
  const outcome = !isLookedAt
    ? undefined
    : await settingsOutcome(
        desired.hostsPaths,
        mirrors,
        { socket: desired.containerd.socket, recorded: desired.recordedContainerd2 },
        signal,
      );
  return [
    ...findings,
    ...(await staleServiceFindings(state, optionVariables, systemctl)),
    ...(desired.isChanging ? [] : socketFindings(registry.port, state)),
    ...(await peerFindings(peers, state, signal)),
    ...(areTargetsReported || desired.isChanging
      ? []
      : await targetAnswerFindings(mirrors.targets, state.pid, signal)),
    ...configurationFindings(settings, outcome),
    ...(isUp(settings) && outcome !== undefined ? outcome.findings : []),
  ];
}

function enabledFindings(start: boolean, state: UnitState, isEnabled: boolean): Finding[] {
  const { load, active, sub, status, since } = state;
  if (isEnabled && (!start || isUp(state))) return [];
  const more = active === 'activating' ? ` (${status || sub})` : '';
  const got = `${active}${more} and ${isEnabled ? 'enabled' : 'not enabled'}`;
  const expected = start ? 'active and enabled' : 'enabled';
  const lines = [
    ...(load === 'masked' ? [`systemctl unmask ${SERVICE_UNIT}`] : []),
    ...(['failed', 'activating'].includes(active) ? [`journalctl -u ${SERVICE_UNIT}`] : []),
    start ? 'spegel install' : 'spegel install --start=false',
  ];
  return [
    advice('service', `expected ${SERVICE_UNIT} to be ${expected}, got ${got}`, lines, since),
  ];
}

function socketFindings(port: number, { since }: UnitState): Finding[] {
  if (port === 0 || isHeldBySystemd(port)) return [];
  const text = `expected systemd to hold port ${port}, got ${SERVICE_UNIT} alone: another user can take it when that is restarted`;
  return [advice('socket', text, ['spegel install'], since)];
}

function configurationFindings(state: UnitState, outcome: SettingsOutcome | undefined): Finding[] {
  if (isUp(state) || isMasked(state)) return [];
  const left = outcome?.present ?? 0;
  const what =
    left === 0
      ? 'containerd does not ask the mirror'
      : 'containerd asks the mirror by settings that were written without it: they stay when the mirror stops';
  const text = `expected ${CONFIGURATION_UNIT} to be active, got ${state.active}: ${what}`;
  return [advice('configuration', text, ['spegel install'], state.since)];
}
