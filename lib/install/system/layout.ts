import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Variables } from '../../proxy/go-proxy.ts';
import { hasPassword } from '../../proxy/go-proxy.ts';
import { type InstallFile, temporaryPathOf } from './files.ts';
import { unhidingLines } from './hidden-paths.ts';

export const EXECUTABLE = '/usr/local/bin/spegel';
export const ENVIRONMENT_FILE = '/etc/spegel/spegel.env';
/**
 * The key of a closed network; what stays of an installation that is taken away, unless it is
 * purged.
 */
export const NETWORK_KEY_FILE = '/etc/spegel/network.key';
export const SERVICE_UNIT = 'spegel.service';
export const CONFIGURATION_UNIT = 'spegel-configuration.service';
export const SOCKET_UNIT = 'spegel.socket';
/** By which the service asks systemd to put the settings back, and what then runs. */
export const SETTINGS_PATH_UNIT = 'spegel-settings.path';
export const SETTINGS_UNIT = 'spegel-settings.service';

const UNITS = '/etc/systemd/system';
export const SERVICE_FILE = join(UNITS, SERVICE_UNIT);
export const CONFIGURATION_FILE = join(UNITS, CONFIGURATION_UNIT);
export const SOCKET_FILE = join(UNITS, SOCKET_UNIT);
export const SETTINGS_PATH_FILE = join(UNITS, SETTINGS_PATH_UNIT);
export const SETTINGS_FILE = join(UNITS, SETTINGS_UNIT);
/** All files of units. */
export const UNIT_FILES = [
  SERVICE_FILE,
  CONFIGURATION_FILE,
  SOCKET_FILE,
  SETTINGS_PATH_FILE,
  SETTINGS_FILE,
] as const;
/** By which the service is enabled; without a running systemd nobody else takes it away. */
export const WANTS_LINK = join(UNITS, 'multi-user.target.wants', SERVICE_UNIT);
const DROP_INS = `${SERVICE_FILE}.d`;
/** Names the unit that runs containerd, where that is another than usual. */
export const CONTAINERD_UNIT_FILE = join(DROP_INS, '10-containerd-unit.conf');
const CONFIGURATION_DROP_INS = `${CONFIGURATION_FILE}.d`;

/** What the units have systemd make: the key of this host's identity. The second one is a link to the first. */
export const DATA_DIRECTORIES = ['/var/lib/private/spegel', '/var/lib/spegel'] as const;

/** Directories that go with the last file in them. */
export const OWN_DIRECTORIES = ['/etc/spegel', DROP_INS, CONFIGURATION_DROP_INS] as const;

/** Our units make it where there is none. */
export const CONTAINERD_DIRECTORY = '/etc/containerd';

/** Where each shell looks, by the names of cmd/report/completions.ts. */
const COMPLETION_PATHS: Readonly<Record<string, string>> = {
  'bash/spegel': '/usr/share/bash-completion/completions/spegel',
  'zsh/_spegel': '/usr/share/zsh/vendor-completions/_spegel',
  'fish/spegel.fish': '/usr/share/fish/vendor_completions.d/spegel.fish',
};

/** By the unit whose processes open them. */
export type PathsByUnit = Readonly<
  Record<typeof SERVICE_UNIT | typeof CONFIGURATION_UNIT, readonly string[]>
>;

/** What a host needs that the units as they are cannot give. */
export interface UnitAdjustments {
  readonly hasUserNamespaces: boolean;
  /** Group of containerd's socket where that is not root: a name, or a number without one. */
  readonly socketGroup: string | undefined;
  /** The unit that runs containerd, such as `k3s.service`. */
  readonly containerdUnit: string;
  /** Where containerd's hosts.toml files are. */
  readonly hostsPaths: readonly string[];
  /** What each service opens by its name: its unit is not to hide it. */
  readonly servicePaths: PathsByUnit;
  /** Lines of a new environment file that say which proxy containerd has. */
  readonly proxy: Variables;
}

export interface InstallContents {
  /** The executable that is to be installed. */
  readonly executable: string;
  /** Text of each unit, by its name; undefined: there is to be none. */
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
  /** Text of the environment file, with these lines in force. */
  readonly environmentFile: (set: Variables) => string;
  /** By shell and name. */
  readonly completions: Readonly<Record<string, string>>;
  /** The key of the network, where this call brings it. */
  readonly networkKey?: InstallFile | undefined;
}

/** Every file of an installation, the big one first: for it there may be no room. */
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
    // In front of what names it: the service does not start with a setting that names no key.
    ...(contents.networkKey === undefined ? [] : [contents.networkKey]),
    environmentFile(contents, host.proxy),
    ...Object.entries(COMPLETION_PATHS)
      // A shell that is not there gets no directory either.
      .filter(([, path]) => existsSync(dirname(path)))
      .map(([name, path]) => text(path, contents.completions[name])),
  ];
}

/** Everybody may read what is in it, unless that is a password: root alone has to. */
function environmentFile(contents: InstallContents, proxy: Variables): InstallFile {
  const mode = hasPassword(proxy) ? 0o600 : 0o644;
  return { path: ENVIRONMENT_FILE, mode, content: contents.environmentFile(proxy), isKept: true };
}

/** The same files, as there are to be none. */
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

/** Drop-ins that are not needed are taken away: they may have been before. */
function dropIns(host: UnitAdjustments, units: Pick<InstallContents['units'], keyof PathsByUnit>) {
  const { hasUserNamespaces, socketGroup, containerdUnit, hostsPaths } = host;
  const header = "# Written by 'spegel install', and taken away when it is not needed any more.\n";
  const service = (line: string) => `${header}[Service]\n${line}\n`;
  // At a shutdown containerd is still there when the service ends.
  const after = (unit: string) => `${header}[Unit]\nAfter=${unit}\n`;
  const isInside = (path: string) => `${path}/`.startsWith(`${CONTAINERD_DIRECTORY}/`);
  const outside = hostsPaths.filter((path) => !isInside(path));
  // Where there is no such directory yet, the unit is to say so itself, in its own words.
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
      // The unit itself names this one.
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

/** The directory around it, in which it may have to be made. */
function writableFor(hostsPath: string): string {
  const parent = dirname(hostsPath);
  return parent === '/' ? hostsPath : parent;
}
