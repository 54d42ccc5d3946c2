import { parse } from 'toml';

type Table = Readonly<Record<string, unknown>>;

/** TLS of one registry host in containerd's old settings; undefined where nothing is said. */
export interface OldTls {
  readonly skipVerify: boolean;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** What of containerd's configuration decides whether its pulls see a mirror. */
export interface CriSettings {
  /** Empty: not set. */
  readonly configPath: string;
  readonly discardsUnpackedLayers: boolean;
  /** CRI pulls by itself also where its containerd has a transfer service for it, from 2.1 on. */
  readonly isLocalPull: boolean;
  /** The old `registry.mirrors`: endpoints of each registry, `*` for all. */
  readonly mirrors: Readonly<Record<string, readonly string[]>>;
  /** The old `registry.configs.<host>.tls`. What is beside it (`auth`) does not go against config_path. */
  readonly tls: Readonly<Record<string, OldTls>>;
}

const V1_CRI = 'io.containerd.grpc.v1.cri';
const V2_IMAGES = 'io.containerd.cri.v1.images';

/**
 * Reads what `CRI Status` tells in `info.config`. Undefined for a containerd that does not tell it there: 2.x
 * tells of the runtime only.
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
 * Reads what `containerd config dump` prints, of any version of the format. From 2.1 on CRI pulls
 * through the transfer service, by its own config_path: that of the service changes nothing.
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
 * The files that a `config dump` says were imported: patterns, some relative to the file's
 * directory.
 */
export function importsOfDump(text: string): string[] {
  const { imports } = parse(text) as Table;
  return textsOf(imports);
}

/** Where a setting belongs in a file of that version of the format, and whether the file has that table. */
export interface CriTable {
  readonly name: string;
  readonly isThere: boolean;
}

/** The tables of containerd's own file that matter here. */
export interface CriTables {
  readonly registry: CriTable;
  readonly unpacking: CriTable;
  /** The version of its format. */
  readonly version: number;
  /** The version that a file has to begin with, where there is none or an empty one. */
  readonly newVersion: 2 | 3 | undefined;
}

/** Looks into containerd's own file; `newest` is the format its containerd writes. Undefined for text that is no TOML. */
export function criTablesOf(text: string, newest: 2 | 3): CriTables | undefined {
  let file: Table;
  try {
    file = parse(text) as Table;
  } catch {
    return undefined;
  }
  const isEmpty = Object.keys(file).length === 0;
  const said = file.version ?? (isEmpty ? newest : 1);
  // No number at all is read as the oldest format, which is what containerd does without one.
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
    // One that only stands around a table below it may be written once more.
    const hasKeys = Object.values(tableOf(found)).some((value) => !isTable(value));
    const isThere = hasKeys || headers.has(JSON.stringify(['plugins', ...keys]));
    return { name: ['plugins', name, ...rest].join('.'), isThere };
  };
  return {
    registry: table(registry),
    unpacking: table(unpacking),
    version,
    newVersion: isEmpty ? newest : undefined,
  };
}

/** Whether a text has the header of that table, also one that is no TOML, such as a template. */
export function hasTable(text: string, table: string): boolean {
  return headersOf(text).has(JSON.stringify(keysOf(`[${table}]`)));
}

/** The keys of every `[header]`, however they are quoted, as JSON. */
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
    // A line of an array, not a header.
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

/** Status has Go's names in one spelling, TOML in another: `insecure_skip_verify` in both. */
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

/** Of a list those that are texts: the tables of the parser cannot be made one. */
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
