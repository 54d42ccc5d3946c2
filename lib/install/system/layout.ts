import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hasPassword, type Variables } from '../../proxy/go-proxy.ts';
import { type InstallFile, temporaryPathOf } from './files.ts';
import { unhidingLines } from './hidden-paths.ts';

export const EXECUTABLE = '/usr/local/bin/spegel';
export const ENVIRONMENT_FILE = '/etc/spegel/spegel.env';
/**
 * The key of a closed network. It stays when the installation is removed, unless that is a purge.
 */
export const NETWORK_KEY_FILE = '/etc/spegel/network.key';
export const SERVICE_UNIT = 'spegel.service';
export const CONFIGURATION_UNIT = 'spegel-configuration.service';
export const SOCKET_UNIT = 'spegel.socket';
/**
 * The service asks systemd by this unit to write the mirror settings again; the second one runs
 * then.
 */
export const SETTINGS_PATH_UNIT = 'spegel-settings.path';
export const SETTINGS_UNIT = 'spegel-settings.service';

/** The name of a service as people write it after `systemctl restart`. */
export function shortName(unit: string): string {
  return unit.replace(/\.service$/, '');
}

const UNITS = '/etc/systemd/system';
export const SERVICE_FILE = join(UNITS, SERVICE_UNIT);
export const CONFIGURATION_FILE = join(UNITS, CONFIGURATION_UNIT);
export const SOCKET_FILE = join(UNITS, SOCKET_UNIT);
export const SETTINGS_PATH_FILE = join(UNITS, SETTINGS_PATH_UNIT);
export const SETTINGS_FILE = join(UNITS, SETTINGS_UNIT);
/** The files of all units. */
export const UNIT_FILES = [
  SERVICE_FILE,
  CONFIGURATION_FILE,
  SOCKET_FILE,
  SETTINGS_PATH_FILE,
  SETTINGS_FILE,
] as const;
/** The link that enables the service. Where systemd does not run, nothing else removes it. */
export const WANTS_LINK = join(UNITS, 'multi-user.target.wants', SERVICE_UNIT);
const DROP_INS = `${SERVICE_FILE}.d`;
/** Names the unit that runs containerd, where that is not containerd.service. */
export const CONTAINERD_UNIT_FILE = join(DROP_INS, '10-containerd-unit.conf');
const CONFIGURATION_DROP_INS = `${CONFIGURATION_FILE}.d`;

/**
 * What systemd creates for the units, with the key of this host's identity. The second is a link to
 * the first.
 */
export const DATA_DIRECTORIES = ['/var/lib/private/spegel', '/var/lib/spegel'] as const;

/** Directories that are removed with the last file in them. */
export const OWN_DIRECTORIES = ['/etc/spegel', DROP_INS, CONFIGURATION_DROP_INS] as const;

/** Our units create it where it does not exist. */
export const CONTAINERD_DIRECTORY = '/etc/containerd';

/** Where each shell looks, by the names in cmd/report/completions.ts. */
const COMPLETION_PATHS: Readonly<Record<string, string>> = {
  'bash/spegel': '/usr/share/bash-completion/completions/spegel',
  'zsh/_spegel': '/usr/share/zsh/vendor-completions/_spegel',
  'fish/spegel.fish': '/usr/share/fish/vendor_completions.d/spegel.fish',
};

/** Paths by the unit that opens them. */
export type PathsByUnit = Readonly<
  Record<typeof SERVICE_UNIT | typeof CONFIGURATION_UNIT, readonly string[]>
>;

/** What this host needs and the plain units do not give. */
export interface UnitAdjustments {
  readonly hasUserNamespaces: boolean;
  /**
   * The group of containerd's socket: its name, or its number where it has none; undefined: root.
   */
  readonly socketGroup: string | undefined;
  /** The unit that runs containerd, such as `k3s.service`. */
  readonly containerdUnit: string;
  /** Where containerd's hosts.toml files are. */
  readonly hostsPaths: readonly string[];
  /** The paths that each service opens by name: its unit must not hide them. */
  readonly servicePaths: PathsByUnit;
  /** Lines of a new environment file with the proxy that containerd has. */
  readonly proxy: Variables;
}

export interface InstallContents {
  /** The executable to install. */
  readonly executable: string;
  /** The text of each unit, by its name; undefined: there must be no such unit. */
  readonly units: Readonly<
    Record<
      | typeof SERVICE_UNIT
      | typeof CONFIGURATION_UNIT
      | typeof SETTINGS_PATH_UNIT
      | typeof SETTINGS_UNIT,
      string
    >
  > & {
    readonly [SOCKET_UNIT]: string | undefined;
  };
  /** The text of the environment file with these settings in force. */
  readonly environmentFile: (set: Variables) => string;
  /** The completions, by shell and file name. */
  readonly completions: Readonly<Record<string, string>>;
  /** The network's key, where this call brings it. */
  readonly networkKey?: InstallFile | undefined;
}

/**
 * Every file of an installation. The executable comes first: a full disk shows before anything else
 * is written.
 */
export function installFiles(contents: InstallContents, host: UnitAdjustments): InstallFile[] {
  const text = (path: string, content: string | undefined) => ({ path, mode: 0o644, content });
  return [
    { path: EXECUTABLE, mode: 0o755, content: { copyOf: contents.executable } },
    text(SERVICE_FILE, contents.units[SERVICE_UNIT]),
    text(CONFIGURATION_FILE, contents.units[CONFIGURATION_UNIT]),
    text(SOCKET_FILE, contents.units[SOCKET_UNIT]),
    text(SETTINGS_FILE, contents.units[SETTINGS_UNIT]),
    text(SETTINGS_PATH_FILE, contents.units[SETTINGS_PATH_UNIT]),
    ...dropIns(host, contents.units).map(([path, content]) => text(path, content)),
    // Before the environment file: the service does not start with a setting that names a missing
    // key.
    ...(contents.networkKey === undefined ? [] : [contents.networkKey]),
    environmentFile(contents, host.proxy),
    ...Object.entries(COMPLETION_PATHS)
      // No directory is created for a shell that is not installed.
      .filter(([, path]) => existsSync(dirname(path)))
      .map(([name, path]) => text(path, contents.completions[name])),
  ];
}

/** Readable for everybody, unless it holds a password: then for root alone. */
function environmentFile(contents: InstallContents, proxy: Variables): InstallFile {
  const mode = hasPassword(proxy) ? 0o600 : 0o644;
  return { path: ENVIRONMENT_FILE, mode, content: contents.environmentFile(proxy), isKept: true };
}

/** Every file that an installation may have written, as files that must not exist. */
export function filesToRemove(): InstallFile[] {
  const none = {
    hasUserNamespaces: true,
    socketGroup: undefined,
    containerdUnit: 'containerd.service',
    hostsPaths: [],
    servicePaths: { [SERVICE_UNIT]: [], [CONFIGURATION_UNIT]: [] },
    proxy: {},
  };
  const paths = [
    ...UNIT_FILES,
    ...dropIns(none, { [SERVICE_UNIT]: '', [CONFIGURATION_UNIT]: '' }).map(([path]) => path),
    ENVIRONMENT_FILE,
    ...Object.values(COMPLETION_PATHS),
    EXECUTABLE,
  ];
  const made = paths.flatMap((path) => [temporaryPathOf(path), path]);
  const all = [WANTS_LINK, temporaryPathOf(NETWORK_KEY_FILE), ...made];
  return all.map((path) => ({ path, mode: 0, content: undefined }));
}

/**
 * Drop-ins that this host does not need are removed: an earlier installation may have needed them.
 */
function dropIns(host: UnitAdjustments, units: Pick<InstallContents['units'], keyof PathsByUnit>) {
  const { hasUserNamespaces, socketGroup, containerdUnit, hostsPaths } = host;
  const header = "# Written by 'spegel install', and taken away when it is not needed any more.\n";
  const service = (line: string) => `${header}[Service]\n${line}\n`;
  // At a shutdown the service has to end before containerd does.
  const after = (unit: string) => `${header}[Unit]\nAfter=${unit}\n`;
  const isInside = (path: string) => `${path}/`.startsWith(`${CONTAINERD_DIRECTORY}/`);
  const outside = hostsPaths.filter((path) => !isInside(path));
  // A leading `-`: a missing directory is reported by the unit's own program, in its own words.
  const writable = outside.map((path) => `ReadWritePaths=-${writableFor(path)}`).join('\n');
  const shown = (unit: keyof PathsByUnit) => {
    const lines = unhidingLines(units[unit], host.servicePaths[unit]);
    return lines === undefined ? undefined : service(lines);
  };
  return [
    [
      join(DROP_INS, '10-no-user-namespaces.conf'),
      hasUserNamespaces ? undefined : service('PrivateUsers=no'),
    ],
    [
      join(DROP_INS, '10-socket-group.conf'),
      socketGroup === undefined ? undefined : service(`SupplementaryGroups=${socketGroup}`),
    ],
    [
      CONTAINERD_UNIT_FILE,
      // The unit itself names containerd.service.
      containerdUnit === 'containerd.service' ? undefined : after(containerdUnit),
    ],
    [
      join(CONFIGURATION_DROP_INS, '10-config-path.conf'),
      outside.length === 0 ? undefined : service(writable),
    ],
    [join(DROP_INS, '10-shown-paths.conf'), shown(SERVICE_UNIT)],
    [join(CONFIGURATION_DROP_INS, '10-shown-paths.conf'), shown(CONFIGURATION_UNIT)],
  ] as const;
}

/** The directory above it, because the path itself may have to be created there. */
function writableFor(hostsPath: string): string {
  const parent = dirname(hostsPath);
  return parent === '/' ? hostsPath : parent;
}
