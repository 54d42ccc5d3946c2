import type { CriSettings, Place, Places } from './cri-settings.ts';
import { advice, type Finding } from './finding.ts';
import { ENVIRONMENT_FILE } from './layout.ts';
import { migrate } from './migration.ts';

export interface CriContext {
  /** The file that is to be changed. */
  readonly file: string;
  readonly places: Places;
  /** Where `spegel configuration` writes. */
  readonly hostsPaths: readonly string[];
  /** Where the settings were learned from, for people. */
  readonly source: string;
}

const RESTART = 'systemctl restart containerd';

/** What keeps containerd's CRI from asking the mirror, and what to write where. */
export function criFindings(settings: CriSettings, context: CriContext): Finding[] {
  return [...pathFindings(settings, context), ...discardFindings(settings, context)];
}

function pathFindings(settings: CriSettings, context: CriContext): Finding[] {
  const { configPath, transferConfigPath } = settings;
  const { source } = context;
  const hostsPath = context.hostsPaths.join(':');
  const isOld = Object.keys(settings.mirrors).length + Object.keys(settings.tls).length > 0;
  const isTransferFine = transferConfigPath === undefined || transferConfigPath === hostsPath;
  const listed = configPath.split(':');
  const isFine = context.hostsPaths.every((path) => listed.includes(path)) && isTransferFine;
  if (isOld) return [migration(settings, context)];
  if (isFine) return [];
  const got = [configPath, ...(transferConfigPath === undefined ? [] : [transferConfigPath])];
  const said = [...new Set(got)].map((path) => (path === '' ? 'none' : `'${path}'`)).join(' and ');
  const colon = isTransferFine || !transferConfigPath.includes(':') ? '' : COLON;
  return [
    advice(
      'config_path',
      `expected containerd's config_path to be ${hostsPath}, got ${said} (${source})${colon}; until then no pull asks the mirror`,
      [...elsewhereLines(settings), ...pathLines(settings, context), RESTART],
    ),
  ];
}

/** One other directory is where Spegel can write as well, and may be all that is possible: k3s makes its own file. */
function elsewhereLines({ configPath, transferConfigPath = configPath }: CriSettings): string[] {
  const isOne = configPath === transferConfigPath && configPath.startsWith('/');
  if (!isOne) return [];
  return [
    `# have Spegel write there; in ${ENVIRONMENT_FILE}:`,
    `CONTAINERD_REGISTRY_CONFIG_PATH=${configPath}`,
    '# then:',
    'spegel install && systemctl restart spegel spegel-configuration',
    `# or have containerd read another directory; it reads no hosts.toml below ${configPath} any more then:`,
  ];
}

const COLON = '; the transfer service takes a list with colons for one directory';

/** The lines of config_path: one table before containerd 2.1, two from then on. */
function pathLines({ transferConfigPath }: CriSettings, context: CriContext): string[] {
  const { registry, transfer } = context.places;
  const places = transferConfigPath === undefined ? [registry] : [registry, transfer];
  return settingLines(places, 'config_path', context.hostsPaths.join(':'), context);
}

/** A table that is there already must not be written a second time: containerd would not start. */
function settingLines(
  all: readonly Place[],
  key: string,
  value: string | boolean,
  { file, places: { newVersion } }: CriContext,
): string[] {
  const lines = (some: readonly Place[]) =>
    some.flatMap(({ table }) => [`[${table}]`, `  ${key} = ${JSON.stringify(value)}`]);
  const [there, missing] = [all.filter(({ isThere }) => isThere), all.filter((p) => !p.isThere)];
  // Without its version a file is read as the oldest format, which knows none of this.
  const version = newVersion === undefined ? [] : [`version = ${newVersion}`];
  return [
    ...(there.length === 0 ? [] : [`# ${file} has this table: set in it`, ...lines(there)]),
    ...(missing.length === 0
      ? []
      : [`# add at the end of ${file}:`, ...version, ...lines(missing)]),
  ];
}

function migration(settings: CriSettings, context: CriContext): Finding {
  const { hostsPaths, file, places, source } = context;
  const [hostsPath = ''] = hostsPaths;
  const [mirrors, tls] = [Object.keys(settings.mirrors), Object.keys(settings.tls)];
  const names = [
    ...mirrors.map((name) => `mirrors.${JSON.stringify(name)}`),
    ...tls.map((name) => `configs.${JSON.stringify(name)}.tls`),
  ];
  const found = names.map((name) => `registry.${name}`).join(', ');
  const files = migrate(settings, hostsPath).flatMap(({ path, text }) => [
    `# ${path}`,
    ...text.trimEnd().split('\n'),
    '',
  ]);
  const message = `expected config_path = '${hostsPath}' and none of containerd's old settings, got ${found} (${source}); containerd takes no config_path beside them, its CRI would not start and the node go down: do all of this, in this order`;
  return advice('registry.mirrors', message, [
    '# 1. write what they say as files:',
    ...files,
    `# 2. in one edit of ${file}, delete ${names.map((name) => `[${places.registry.table}.${name}]`).join(', ')}`,
    '#    and set config_path:',
    ...pathLines(settings, context),
    '# 3. then:',
    RESTART,
    'systemctl restart spegel-configuration',
  ]);
}

function discardFindings(settings: CriSettings, context: CriContext): Finding[] {
  if (!settings.discardsUnpackedLayers) return [];
  const { source } = context;
  return [
    advice(
      'discard_unpacked_layers',
      `expected discard_unpacked_layers to be false, got true (${source}): containerd deletes the layers that it has unpacked, and this host has nothing to share`,
      [
        ...settingLines([context.places.unpacking], 'discard_unpacked_layers', false, context),
        RESTART,
      ],
    ),
  ];
}
