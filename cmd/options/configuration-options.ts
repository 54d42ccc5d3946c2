import { COMMON_OPTIONS, GENERAL_GROUP, JSON_OUTCOME } from './common-options.ts';
import { type GivenOptions, list, optional, single, toggle } from './option.ts';
import { REGISTRY_OPTIONS } from './registry-options.ts';
import {
  parseExcludedRegistry,
  parseMirroredRegistry,
  parseMirrorTarget,
} from './registry-urls.ts';
import {
  durationBetween,
  parseContainerdVersion,
  parseHostsPaths,
  parseListenAddress,
  parsePathOrNone,
} from './values.ts';

const MIRRORS = 'Mirrors:';

const DEFAULT_HOSTS_PATH = '/etc/containerd/certs.d';

const containerdRegistryConfigPath = single({
  flag: '--containerd-registry-config-path',
  placeholder: 'paths',
  group: MIRRORS,
  help: "containerd's config_path: the directory that is written, or several (a:b)",
  fallback: DEFAULT_HOSTS_PATH,
  parse: parseHostsPaths,
});

/**
 * Directories in which settings from an earlier configuration may be: the default one, unless a
 * flag names the directory. A flag is about that directory alone.
 */
export function formerHostsPaths(given: GivenOptions): readonly string[] {
  return given.containerdRegistryConfigPath === undefined ? [DEFAULT_HOSTS_PATH] : [];
}

const dryRun = toggle({
  flag: '--dry-run',
  env: undefined,
  group: GENERAL_GROUP,
  help: 'print what would change and write nothing',
  fallback: 'false',
});

const check = toggle({
  flag: '--check',
  env: undefined,
  group: GENERAL_GROUP,
  help: 'as --dry-run, and exit with 3 if anything would change',
  fallback: 'false',
});

/** Options of `spegel configuration`, named as in Go Spegel where it has them. */
export const CONFIGURATION_OPTIONS = {
  containerdRegistryConfigPath,
  mirroredRegistries: list({
    flag: '--mirrored-registries',
    placeholder: 'url',
    group: MIRRORS,
    help: 'registries to mirror, such as https://docker.io; all unless given',
    parse: parseMirroredRegistry,
  }),
  excludedRegistries: list({
    flag: '--excluded-registries',
    placeholder: 'url',
    group: MIRRORS,
    help: 'registries that are not mirrored when all are',
    parse: parseExcludedRegistry,
  }),
  mirrorTargets: list({
    flag: '--mirror-targets',
    placeholder: 'url',
    group: MIRRORS,
    help: 'registries that containerd asks first, in this order; that of this host (--registry-addr) unless given',
    parse: parseMirrorTarget,
  }),
  registryAddr: { ...REGISTRY_OPTIONS.registryAddr, group: MIRRORS },
  resolveTags: toggle({
    flag: '--resolve-tags',
    group: MIRRORS,
    help: 'mirrors are asked for tags too',
    fallback: 'true',
  }),
  prependExisting: toggle({
    flag: '--prepend-existing',
    group: MIRRORS,
    help: 'hosts that are in the files stay, behind the mirror; false sets them aside until cleanup',
    fallback: 'true',
  }),
  dialTimeout: single({
    flag: '--dial-timeout',
    placeholder: 'duration',
    group: MIRRORS,
    help: 'longest wait for a connection to a mirror (containerd 2.0.7, 2.1 and later)',
    fallback: '1s',
    parse: durationBetween(1, 30_000),
  }),
  basicAuthPath: single({
    flag: '--basic-auth-path',
    placeholder: 'path',
    group: MIRRORS,
    help: 'directory with files username and password for the mirror, if it is there',
    fallback: '/etc/secrets/basic-auth',
    parse: parsePathOrNone,
  }),
  containerdVersion: optional({
    flag: '--containerd-version',
    placeholder: 'version',
    group: MIRRORS,
    help: 'oldest containerd that reads the files, such as 1.7.24 or 2; it is asked for it unless given',
    parse: parseContainerdVersion,
  }),
  containerdSock: { ...REGISTRY_OPTIONS.containerdSock, group: MIRRORS },
  dryRun,
  check,
  json: JSON_OUTCOME,
  ...COMMON_OPTIONS,
} as const;

/** Options of `spegel cleanup`. */
export const CLEANUP_OPTIONS = {
  containerdRegistryConfigPath,
  addr: optional({
    flag: '--addr',
    placeholder: 'address',
    group: GENERAL_GROUP,
    help: 'when done, answer 200 on /readyz and /healthz here while the settings are gone, until SIGTERM',
    parse: parseListenAddress,
  }),
  dryRun,
  check,
  json: JSON_OUTCOME,
  ...COMMON_OPTIONS,
} as const;
