import { advice, type Finding } from '../system/finding.ts';
import { ENVIRONMENT_FILE } from '../system/layout.ts';
import { type CriSettings, hasTable } from './cri-settings.ts';
import { migratedFiles } from './migration.ts';
import { type ConfigFile, settingLines } from './setting-lines.ts';

export interface CriContext extends ConfigFile {
  /** The directories in which `spegel configuration` writes. */
  readonly hostsPaths: readonly string[];
  /** How the settings were learned, in words for a person. */
  readonly source: string;
  /** Whether CRI pulls through the transfer service by default: from containerd 2.1 on. */
  readonly hasTransfer: boolean;
  /** The command by which containerd reads its file again. */
  readonly restart: string;
}

/** What keeps containerd's CRI from asking the mirror, and what to write where. */
export function criFindings(settings: CriSettings, context: CriContext): Finding[] {
  return [...configPathFindings(settings, context), ...discardFindings(settings, context)];
}

function configPathFindings(settings: CriSettings, context: CriContext): Finding[] {
  const { configPath } = settings;
  const { source, hostsPaths } = context;
  const isOld = Object.keys(settings.mirrors).length + Object.keys(settings.tls).length > 0;
  if (isOld) return [migrationFinding(settings, context)];
  const listed = configPath.split(':');
  if (hostsPaths.every((path) => listed.includes(path)))
    return transferListFindings(settings, context);
  const got = configPath === '' ? 'none' : `'${configPath}'`;
  const text = `expected containerd's config_path to be ${hostsPaths.join(':')}, got ${got} (${source}); until then no pull asks the mirror`;
  return [advice('config_path', text, configPathAdvice(configPath, context))];
}

/**
 * The transfer service takes CRI's list for the name of one directory (seen with 2.1.9, 2.2.9,
 * 2.3.7 and 2.4.2).
 */
function transferListFindings(
  { configPath, isLocalPull }: CriSettings,
  context: CriContext,
): Finding[] {
  if (!configPath.includes(':') || !context.hasTransfer || isLocalPull) return [];
  const { hostsPaths, tables, source } = context;
  const [first = ''] = hostsPaths;
  const text = `expected containerd's config_path to be one directory, got '${configPath}' (${source}): where its CRI pulls through the transfer service it takes that for one name, and reads no hosts.toml at all; no such pull asks the mirror`;
  // The format of version 2 does not have this setting.
  const local =
    tables.version !== 3
      ? []
      : [
          '# have CRI pull by itself, which knows lists:',
          ...settingLines(tables.unpacking, 'use_local_image_pull', true, context),
          '# or:',
        ];
  const ours = [`# and in ${ENVIRONMENT_FILE}:`, `CONTAINERD_REGISTRY_CONFIG_PATH=${first}`];
  return [
    advice('config_path', text, [
      ...local,
      '# have it read one directory:',
      ...settingLines(tables.registry, 'config_path', first, context),
      ...(hostsPaths.length === 1 ? [] : ours),
      '# then:',
      context.restart,
    ]),
  ];
}

/**
 * Spegel can write to the directory that containerd reads. Where a distribution chose the
 * directory, that is the only way.
 */
function configPathAdvice(configPath: string, context: CriContext): string[] {
  const here = [...configPathLines(context), context.restart];
  if (!configPath.startsWith('/')) return here;
  const there = [
    `# have Spegel write there; in ${ENVIRONMENT_FILE}:`,
    `CONTAINERD_REGISTRY_CONFIG_PATH=${configPath}`,
    '# then:',
    'spegel install && systemctl restart spegel spegel-configuration',
  ];
  if (context.origin.kind === 'template') return there;
  const or = `# or have containerd read another directory; it reads no hosts.toml below ${configPath} any more then:`;
  return [...there, or, ...here];
}

function configPathLines(context: CriContext): string[] {
  const [first = ''] = context.hostsPaths;
  const value = context.hasTransfer ? first : context.hostsPaths.join(':');
  return settingLines(context.tables.registry, 'config_path', value, context);
}

function migrationFinding(settings: CriSettings, context: CriContext): Finding {
  const { hostsPaths, source, restart } = context;
  const [hostsPath = ''] = hostsPaths;
  const [mirrors, tls] = [Object.keys(settings.mirrors), Object.keys(settings.tls)];
  const names = [
    ...mirrors.map((name) => `mirrors.${JSON.stringify(name)}`),
    ...tls.map((name) => `configs.${JSON.stringify(name)}.tls`),
  ];
  const found = names.map((name) => `registry.${name}`).join(', ');
  const files = migratedFiles(settings, hostsPath).flatMap(({ path, text }) => [
    `# ${path}`,
    ...text.trimEnd().split('\n'),
    '',
  ]);
  const message = `expected config_path = '${hostsPath}' and none of containerd's old settings, got ${found} (${source}); containerd takes no config_path beside them, its CRI would not start and the node go down: do all of this, in this order`;
  return advice('registry.mirrors', message, [
    '# 1. write what they say as files:',
    ...files,
    ...deleteLines(names, context),
    '#    and set config_path:',
    ...configPathLines(context),
    '# 3. then:',
    restart,
    'systemctl restart spegel-configuration',
    ...upgradeLines(context),
  ]);
}

/** A generated file is changed at its source. */
function deleteLines(names: readonly string[], { file, tables, origin }: CriContext): string[] {
  const old = names.map((name) => `${tables.registry.name}.${name}`);
  const list = old.map((table) => `[${table}]`).join(', ');
  switch (origin.kind) {
    case 'file':
      return [`# 2. in one edit of ${file}, delete ${list}`];
    case 'template':
      return old.some((table) => hasTable(origin.text ?? '', table))
        ? [`# 2. in one edit of ${origin.path}, delete ${list}`]
        : [
            `# 2. from ${origin.registries} delete mirrors:, and the tls: below configs: (auth: may stay),`,
          ];
    default:
      return [`# 2. have what writes ${file} leave out ${list}`];
  }
}

/**
 * Only k3s and rke2 of before 2024 write such files (k3s, documentation of registries.yaml and of
 * its mirror).
 */
function upgradeLines({ origin }: CriContext): string[] {
  if (origin.kind !== 'template') return [];
  return [
    `# or, instead of all this, upgrade ${origin.by}: from 1.29.1 on it writes config_path and such files by itself`,
  ];
}

function discardFindings(settings: CriSettings, context: CriContext): Finding[] {
  if (!settings.discardsUnpackedLayers) return [];
  const { source } = context;
  return [
    advice(
      'discard_unpacked_layers',
      `expected discard_unpacked_layers to be false, got true (${source}): containerd deletes the layers that it has unpacked, and this host has nothing to share`,
      [
        ...settingLines(context.tables.unpacking, 'discard_unpacked_layers', false, context),
        context.restart,
      ],
    ),
  ];
}
