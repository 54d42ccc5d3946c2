import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { SpegelError } from '../base/errors.ts';
import { checkContainerd } from './containerd-check.ts';
import {
  at,
  changeFor,
  type FileChange,
  makeAsWanted,
  removeDirectoryIfEmpty,
  type WantedFile,
} from './files.ts';
import { advice, type Finding } from './finding.ts';
import { checkHost, type Listener, peculiarities } from './host-check.ts';
import {
  CONFIGURATION,
  type Contents,
  ENVIRONMENT_FILE,
  EXECUTABLE,
  OWN_DIRECTORIES,
  SERVICE,
  wantedFiles,
} from './layout.ts';
import { type Say, Systemctl } from './systemctl.ts';

/** It is ready in a second; a containerd under load may keep it waiting. */
const READY_TIMEOUT_MS = 90_000;

export interface InstallSettings {
  readonly contents: Contents;
  /** containerd's socket. */
  readonly socket: string;
  /** containerd's config_path, as the environment file has it. */
  readonly hostsPath: string;
  readonly listeners: readonly Listener[];
  /** First peers that were asked for: of use only to an environment file that is made now. */
  readonly peers: readonly string[];
  /** False: enabled, and left to the next boot. */
  readonly start: boolean;
  /** Nothing is written. */
  readonly isCheck: boolean;
}

export interface InstallReport {
  readonly findings: readonly Finding[];
  /** What was done; of a check, what would be. */
  readonly changes: readonly FileChange[];
  /** What was done about the service; undefined: nothing, or an obstacle prevented it. */
  readonly service: 'started' | 'restarted' | 'enabled' | undefined;
  /** Why the service does not run although everything is in place. */
  readonly problem?: string;
}

export interface Way {
  readonly signal: AbortSignal;
  readonly say: Say;
}

/**
 * Puts executable, units, environment file and completions in place and starts the service, after a look at
 * the host; an obstacle is among the findings then, and nothing was touched. Rejects with SpegelError
 * ERR_INSTALL when a file cannot be put in place; the same call again goes on.
 */
export async function install(settings: InstallSettings, way: Way): Promise<InstallReport> {
  const systemctl = new Systemctl(way.signal);
  const { pid } = await systemctl.state(SERVICE);
  const { findings: socketFindings, ...host } = peculiarities(settings.socket);
  way.say('looking at the host');
  const findings = [
    ...(await checkHost(settings.hostsPath, settings.listeners, pid !== 0)),
    ...(await checkContainerd(settings, way.signal)),
    ...socketFindings,
    ...hostAdvice(host),
    ...environmentAdvice(settings.contents.environmentFile, settings.peers),
  ];
  const files = wantedFiles(settings.contents, host);
  const changes = files.flatMap((file) => changeFor(file) ?? []);
  if (settings.isCheck) {
    if (changes.length === 0) findings.push(...(await serviceAdvice(systemctl)));
    return { findings, changes, service: undefined };
  }
  if (findings.some(({ kind }) => kind === 'obstacle')) {
    return { findings, changes: [], service: undefined };
  }
  putInPlace(files, changes);
  try {
    const service = await bringUp(settings.start, changes, systemctl, way);
    return { findings, changes, service };
  } catch (error) {
    if (!(error instanceof SpegelError) || way.signal.aborted) throw error;
    return { findings, changes, service: undefined, problem: error.message };
  }
}

function putInPlace(files: readonly WantedFile[], changes: readonly FileChange[]): void {
  const paths = new Set(changes.map(({ path }) => path));
  for (const file of files) if (paths.has(file.path)) makeAsWanted(file);
  // A drop-in that is not needed any more may have been the only one.
  for (const path of OWN_DIRECTORIES) removeDirectoryIfEmpty(path);
}

async function bringUp(
  start: boolean,
  changes: readonly FileChange[],
  systemctl: Systemctl,
  way: Way,
): Promise<InstallReport['service']> {
  const was = await systemctl.state(SERVICE);
  // A former call may have been ended before it came to the restart.
  const isStale = changes.length > 0 || was.needsReload || runsAnother(was.pid);
  if (isStale) await systemctl.call('daemon-reload');
  const isEnabled = await systemctl.isEnabled(SERVICE);
  if (!isEnabled) await systemctl.call('enable', SERVICE);
  if (!start) return isStale || !isEnabled ? 'enabled' : undefined;
  if (was.active === 'active' && !isStale) return undefined;
  const isDown = ['inactive', 'failed'].includes(was.active);
  const verb = isDown ? 'start' : 'restart';
  const { invocation } = await systemctl.state(CONFIGURATION);
  // Pulls that run have time to end; one that comes meanwhile is refused here, and goes upstream.
  await systemctl.call('--no-block', verb, ...(isDown ? [SERVICE] : [SERVICE, CONFIGURATION]));
  await untilUp(SERVICE, was.invocation, systemctl, way);
  await untilUp(CONFIGURATION, isDown ? '' : invocation, systemctl, way);
  return isDown ? 'started' : 'restarted';
}

/** Whether a process runs from a file that was replaced since. */
function runsAnother(pid: number): boolean {
  try {
    return pid !== 0 && readlinkSync(`/proc/${pid}/exe`) !== EXECUTABLE;
  } catch {
    // It has just ended: systemd starts what is there now.
    return false;
  }
}

/** Waits for a run of a unit that is not `former`: right after the call the old one may still be there. */
async function untilUp(
  unit: string,
  former: string,
  systemctl: Systemctl,
  { say }: Way,
): Promise<void> {
  const state = await systemctl.until(
    unit,
    ({ active, sub, invocation }) =>
      // A run that has failed is followed by a pause, and another try.
      invocation !== former && (sub === 'auto-restart' || ['active', 'failed'].includes(active)),
    { timeoutMs: READY_TIMEOUT_MS, say },
  );
  if (state.active === 'active' && state.invocation !== former) return;
  throw new SpegelError(
    'ERR_INSTALL',
    `expected ${unit} to run, got ${state.active} (${state.sub}); everything is in place, and 'journalctl -u ${unit}' says why it does not run: mend that and run this again, or 'spegel uninstall'`,
  );
}

/** Everything is in place: does it run, too? */
async function serviceAdvice(systemctl: Systemctl): Promise<Finding[]> {
  const { active } = await systemctl.state(SERVICE);
  const isEnabled = await systemctl.isEnabled(SERVICE);
  if (active === 'active' && isEnabled) return [];
  const got = `${active} and ${isEnabled ? 'enabled' : 'not enabled'}`;
  return [advice('service', `expected ${SERVICE} to be active and enabled, got ${got}`)];
}

function hostAdvice(host: { readonly hasUserNamespaces: boolean }): Finding[] {
  if (host.hasUserNamespaces) return [];
  const text =
    'this host has no user namespaces (user.max_user_namespaces = 0): the service runs without PrivateUsers=yes, by a drop-in';
  return [advice('user-namespaces', text)];
}

/** An environment file that is there is kept: options that it does not name are new since it was written. */
function environmentAdvice(fresh: string, peers: readonly string[]): Finding[] {
  if (!existsSync(ENVIRONMENT_FILE)) return [];
  const namesIn = (text: string) =>
    new Set([...text.matchAll(/^#?([A-Z][A-Z_]*)=/gm)].map(([, name = '']) => name));
  const text = at(ENVIRONMENT_FILE, () => readFileSync(ENVIRONMENT_FILE, 'utf8'));
  const known = namesIn(text);
  const news = [...namesIn(fresh)].filter((name) => !known.has(name));
  const kept = `${ENVIRONMENT_FILE} is kept as it is`;
  const line = `STATIC_BOOTSTRAP_PEERS=${peers.join(',')}`;
  const isSaid = peers.length === 0 || text.split('\n').includes(line);
  return [
    ...(news.length === 0
      ? []
      : [
          advice(
            'environment',
            `${kept}; it does not name ${news.join(', ')}: they have their defaults`,
          ),
        ]),
    ...(isSaid ? [] : [advice('peers', `${kept}; for these peers write into it`, [line])]),
  ];
}
