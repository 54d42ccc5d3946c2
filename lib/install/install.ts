import { existsSync } from 'node:fs';
import { SpegelError } from '../base/errors.ts';
import type { Variables } from '../base/go-proxy.ts';
import type { ConfigurationSettings } from '../hosts/mirror-wishes.ts';
import { type BroughtUp, bringUp, serviceAdvice, type Way } from './bring-up.ts';
import { checkContainerd, listOfContainerd } from './containerd-check.ts';
import { environmentAdvice } from './environment-advice.ts';
import { changeFor, type FileChange } from './files.ts';
import { type Finding, note } from './finding.ts';
import { checkHost, foreignFindings, type Listener, peculiarities } from './host-check.ts';
import {
  CONFIGURATION,
  type Contents,
  ENVIRONMENT_FILE,
  SERVICE,
  SOCKET,
  wantedFiles,
} from './layout.ts';
import { settingsFindings, strangerFindings, targetFindings } from './mirror-advice.ts';
import { proxyAdvice, proxyNote } from './proxy-advice.ts';
import { findProxy, knownOf } from './proxy-check.ts';
import { putInPlace } from './put-in-place.ts';
import { roomFindings } from './room-check.ts';
import { Systemctl } from './systemctl.ts';
import { tagSourceNote } from './tag-source-note.ts';

export interface InstallSettings {
  readonly contents: Contents;
  /** containerd's socket. */
  readonly socket: string;
  /** containerd's config_path, as the environment file has it. */
  readonly hostsPaths: readonly string[];
  /** What the environment file says of the mirrors in the files there. */
  readonly mirrors: ConfigurationSettings;
  readonly registry: Listener;
  /** Where else the service listens. */
  readonly listeners: readonly Listener[];
  /** Settings that were asked for on the command line. */
  readonly asked: Variables;
  /** What the environment file that is there sets. */
  readonly installed: Variables;
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
  readonly service: BroughtUp | undefined;
  /** Why the service does not run although everything is in place. */
  readonly problem?: string;
}

/**
 * Puts executable, units, environment file and completions in place and starts the service, after a look at
 * the host; an obstacle is among the findings then, and nothing was touched. Rejects with SpegelError
 * ERR_INSTALL when a file cannot be put in place; the same call again goes on.
 */
export async function install(given: InstallSettings, way: Way): Promise<InstallReport> {
  const settings = await withList(given, way);
  const { isCheck, start, hostsPaths, mirrors } = settings;
  const systemctl = new Systemctl(way.signal);
  way.say('looking at the host');
  const { findings: socketFindings, ...host } = peculiarities(settings.socket);
  const proxy = await findProxy(settings.socket, systemctl, way.signal);
  const files = wantedFiles(settings.contents, { ...host, hostsPaths, proxy: proxyNote(proxy) });
  const changes = files.flatMap((file) => changeFor(file) ?? []);
  const { active } = await systemctl.state(CONFIGURATION);
  const findings = [
    ...(await lookAtHost(settings, systemctl, way)),
    ...socketFindings,
    ...foreignFindings(changes),
    ...roomFindings(files, changes, active === 'active' ? [] : hostsPaths),
    ...targetFindings(mirrors.targets, settings.registry),
    ...hostNotes(host),
    ...environmentAdvice({ ...settings, fresh: settings.contents.environmentFile({}) }),
    ...tagSourceNote(settings.installed, proxy && knownOf(proxy)),
    ...proxyAdvice(proxy, existsSync(ENVIRONMENT_FILE) ? settings.installed : undefined),
  ];
  if (isCheck) {
    if (changes.length > 0) return { findings, changes, service: undefined };
    findings.push(...(await serviceAdvice(start, settings.registry.port, systemctl)));
    if (active === 'active')
      findings.push(...(await settingsFindings(hostsPaths, mirrors, settings.socket, way.signal)));
    return { findings, changes, service: undefined };
  }
  if (findings.some(({ kind }) => kind === 'obstacle')) {
    return { findings, changes: [], service: undefined };
  }
  putInPlace(files, changes);
  try {
    const wants = { start, changes, port: settings.registry.port };
    const service = await bringUp(wants, systemctl, way);
    return { findings, changes, service };
  } catch (error) {
    if (!(error instanceof SpegelError) || way.signal.aborted) throw error;
    return { findings, changes, service: undefined, problem: error.message };
  }
}

/** Where nothing is installed yet, containerd's own list of directories goes into the environment file. */
async function withList(settings: InstallSettings, { signal, say }: Way): Promise<InstallSettings> {
  if (existsSync(ENVIRONMENT_FILE)) return settings;
  const hostsPaths = await listOfContainerd(settings, signal);
  if (hostsPaths === undefined) return settings;
  const CONTAINERD_REGISTRY_CONFIG_PATH = hostsPaths.join(':');
  say(`containerd's config_path is ${CONTAINERD_REGISTRY_CONFIG_PATH}: so is Spegel's`);
  const { contents } = settings;
  const environmentFile: Contents['environmentFile'] = (set) =>
    contents.environmentFile({ CONTAINERD_REGISTRY_CONFIG_PATH, ...set });
  return { ...settings, hostsPaths, contents: { ...contents, environmentFile } };
}

async function lookAtHost(
  settings: InstallSettings,
  systemctl: Systemctl,
  { signal }: Way,
): Promise<Finding[]> {
  const { pid } = await systemctl.state(SERVICE);
  const { mirrors, registry } = settings;
  const socket = await systemctl.state(SOCKET);
  // Between two lives of the service systemd holds that port for it.
  const free = socket.active === 'active' ? [] : [registry];
  const listeners = [...free, ...settings.listeners];
  return [
    ...strangerFindings(mirrors.targets, registry, pid),
    ...(await checkHost(settings.hostsPaths, listeners, pid !== 0)),
    ...(await checkContainerd(settings, signal)),
  ];
}

function hostNotes(host: { readonly hasUserNamespaces: boolean }): Finding[] {
  if (host.hasUserNamespaces) return [];
  const text =
    'this host has no user namespaces (user.max_user_namespaces = 0): the service runs without PrivateUsers=yes, by a drop-in';
  return [note('user-namespaces', text)];
}
