import { parse } from 'toml';

type Table = Readonly<Record<string, unknown>>;

/** TLS of one registry host in containerd's old settings. Undefined: the file is not set. */
export interface OldTls {
  readonly skipVerify: boolean;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** The settings of containerd that decide whether its pulls ask a mirror. */
export interface CriSettings {
  /** Empty: not set. */
  readonly configPath: string;
  readonly discardsUnpackedLayers: boolean;
  /**
   * Whether CRI pulls by itself although containerd has a transfer service, which it does from 2.1
   * on.
   */
  readonly isLocalPull: boolean;
  /** The old `registry.mirrors`: the endpoints of each registry, `*` for all. */
  readonly mirrors: Readonly<Record<string, readonly string[]>>;
  /** The old `registry.configs.<host>.tls`. Its neighbour `auth` may stand beside config_path. */
  readonly tls: Readonly<Record<string, OldTls>>;
}

const V1_CRI = 'io.containerd.grpc.v1.cri';
const V2_IMAGES = 'io.containerd.cri.v1.images';

/**
 * Parses `info.config` of `CRI Status`. Undefined for containerd 2.x, which puts only the runtime
 * there.
 */
export function settingsOfStatus(json: string): CriSettings | undefined {
  const config = tableOf(JSON.parse(json));
  if (!('registry' in config)) return undefined;
  const { configPath, mirrors, configs } = tableOf(config.registry);
  return {
    configPath: textOf(configPath),
    discardsUnpackedLayers: tableOf(config.containerd).discardUnpackedLayers === true,
    isLocalPull: false,
    mirrors: mirrorsOf(mirrors),
    tls: tlsOf(configs),
  };
}

/**
 * Parses the output of `containerd config dump`, in any version of the format. From 2.1 on CRI
 * pulls through the transfer service, but by its own config_path: that of the service changes
 * nothing.
 */
export function settingsOfDump(text: string): CriSettings {
  const plugins = tableOf((parse(text) as Table).plugins);
  const images = tableOf(plugins[V2_IMAGES] ?? plugins[V1_CRI]);
  const { config_path: configPath, mirrors, configs } = tableOf(images.registry);
  const discards =
    images.discard_unpacked_layers ?? tableOf(images.containerd).discard_unpacked_layers;
  return {
    configPath: textOf(configPath),
    discardsUnpackedLayers: discards === true,
    isLocalPull: images.use_local_image_pull === true,
    mirrors: mirrorsOf(mirrors),
    tls: tlsOf(configs),
  };
}

/**
 * The files that a `config dump` names as imported: patterns, some relative to the file's
 * directory.
 */
export function importsOfDump(text: string): string[] {
  const { imports } = parse(text) as Table;
  return textsOf(imports);
}

/** The table of a setting in one version of the format, and whether the file has that table. */
export interface CriTable {
  readonly name: string;
  readonly isThere: boolean;
}

/** The tables of containerd's file that matter here. */
export interface CriTables {
  readonly registry: CriTable;
  readonly unpacking: CriTable;
  /** The version of the file's format. */
  readonly version: number;
  /** The version that must be added to a file that is missing or empty. */
  readonly newVersion: 2 | 3 | undefined;
  /** Whether the file is missing, or has not even a comment. */
  readonly isBlank: boolean;
}

/**
 * Finds the tables in containerd's file. `newest`: the format that this containerd writes.
 * Undefined for text that is no TOML.
 */
export function criTablesOf(text: string, newest: 2 | 3): CriTables | undefined {
  let file: Table;
  try {
    file = parse(text) as Table;
  } catch {
    return undefined;
  }
  const isEmpty = Object.keys(file).length === 0;
  const said = file.version ?? (isEmpty ? newest : 1);
  // Anything but a number counts as the oldest format, as a missing version does.
  const version = typeof said === 'object' ? 1 : Number(said);
  const [registry, unpacking]: [string[], string[]] =
    version === 3
      ? [[V2_IMAGES, 'registry'], [V2_IMAGES]]
      : version === 2
        ? [
            [V1_CRI, 'registry'],
            [V1_CRI, 'containerd'],
          ]
        : [
            ['cri', 'registry'],
            ['cri', 'containerd'],
          ];
  const headers = headersOf(text);
  const table = (keys: readonly string[]): CriTable => {
    const [plugin = '', ...rest] = keys;
    const name = plugin.includes('.') ? `"${plugin}"` : plugin;
    const found = keys.reduce<unknown>((table, key) => tableOf(table)[key], file.plugins);
    // A table that only contains others may be written once more.
    const hasKeys = Object.values(tableOf(found)).some((value) => !isTable(value));
    const isThere = hasKeys || headers.has(JSON.stringify(['plugins', ...keys]));
    return { name: ['plugins', name, ...rest].join('.'), isThere };
  };
  return {
    registry: table(registry),
    unpacking: table(unpacking),
    version,
    newVersion: isEmpty ? newest : undefined,
    isBlank: text.trim() === '',
  };
}

/** Whether a text has the header of that table. The text may be a template, which is no TOML. */
export function hasTable(text: string, table: string): boolean {
  return headersOf(text).has(JSON.stringify(keysOf(`[${table}]`)));
}

/** The keys of every `[header]`, without their quotes, as JSON. */
function headersOf(text: string): Set<string> {
  const lines = text.split('\n').filter((line) => /^\s*\[(?!\[)/.test(line));
  return new Set(lines.map((line) => JSON.stringify(keysOf(line))));
}

function keysOf(header: string): string[] {
  try {
    let table = parse(header) as Table;
    const keys: string[] = [];
    for (let [key] = Object.keys(table); key !== undefined; [key] = Object.keys(table)) {
      keys.push(key);
      table = tableOf(table[key]);
    }
    return keys;
  } catch {
    // The line belongs to an array and is no header.
    return [];
  }
}

function mirrorsOf(value: unknown): Record<string, readonly string[]> {
  const entries = Object.entries(tableOf(value)).map(([name, mirror]) => {
    const { endpoint } = tableOf(mirror);
    return [name, textsOf(endpoint)] as const;
  });
  return Object.fromEntries(entries);
}

/** CRI status and TOML spell the names in two ways, except `insecure_skip_verify`. */
function tlsOf(value: unknown): Record<string, OldTls> {
  const entries = Object.entries(tableOf(value)).flatMap(([host, config]) => {
    const { tls } = tableOf(config);
    if (tls === undefined || tls === null) return [];
    const { insecure_skip_verify: skip, ...rest } = tableOf(tls);
    const file = (key: string) => textOf(rest[key] ?? rest[camel(key)]) || undefined;
    const files = { ca: file('ca_file'), cert: file('cert_file'), key: file('key_file') };
    return [[host, { skipVerify: skip === true, ...files }] as const];
  });
  return Object.fromEntries(entries);
}

function camel(key: string): string {
  return key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The texts of a list. The parser's tables cannot be turned into texts. */
function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function tableOf(value: unknown): Table {
  return isTable(value) ? value : {};
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
