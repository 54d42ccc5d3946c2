import type { ConfigSource } from './config-source.ts';
import { type CriTable, type CriTables, hasTable } from './cri-settings.ts';

/** containerd's configuration, as it is to be changed. */
export interface ConfigFile {
  readonly file: string;
  readonly tables: CriTables;
  /** Where it is to be changed. */
  readonly origin: ConfigSource;
}

/** What to write where for one setting of containerd, so that it stays. */
export function settingLines(
  table: CriTable,
  key: string,
  value: string | boolean,
  config: ConfigFile,
): string[] {
  const { file, tables, origin } = config;
  const lines = [`[${table.name}]`, `  ${key} = ${JSON.stringify(value)}`];
  switch (origin.kind) {
    case 'file':
      return changed(file, table.isThere, versioned(lines, config));
    case 'drop-in':
      return [
        `# ${origin.why}, with what is in this file: write ${origin.path}:`,
        `version = ${tables.version}`,
        ...lines,
      ];
    case 'template':
      return templateLines(origin, table, lines, file);
    case 'generated':
      return [`# ${origin.why}: have what writes it set in it, or the change is lost:`, ...lines];
  }
}

/** Without its version a file is read as the oldest format, which knows none of this. */
function versioned(lines: readonly string[], { tables: { newVersion } }: ConfigFile): string[] {
  return newVersion === undefined ? [...lines] : [`version = ${newVersion}`, ...lines];
}

/** A table that is there already must not be written a second time: containerd would not start. */
function changed(file: string, isThere: boolean, lines: readonly string[]): string[] {
  return [
    isThere ? `# ${file} has this table: set in it` : `# add at the end of ${file}:`,
    ...lines,
  ];
}

/**
 * The base template is k3s' own text, to which more may be added
 * (https://docs.k3s.io/advanced#configuring-containerd).
 */
function templateLines(
  { by, path, text }: Extract<ConfigSource, { kind: 'template' }>,
  table: CriTable,
  lines: readonly string[],
  file: string,
): string[] {
  const why = `# ${by} makes ${file} anew at every start, of a template`;
  if (text !== undefined && hasTable(text, table.name)) return [why, ...changed(path, true, lines)];
  if (!table.isThere) {
    if (text !== undefined) return [why, ...changed(path, false, lines)];
    return [`${why}: write ${path}:`, '{{ template "base" . }}', ...lines];
  }
  // The base has the table, so that it cannot be written once more below it.
  return [
    `${why}, and has this table in its own: make a template of what it is now, and set in it`,
    `cp ${file} ${path}`,
    ...lines,
    `# after an upgrade of ${by}, make it anew`,
  ];
}
