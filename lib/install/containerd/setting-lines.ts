import type { ConfigSource } from './config-source.ts';
import { type CriTable, type CriTables, hasTable } from './cri-settings.ts';

/** containerd's configuration file, and what is known of it. */
export interface ConfigFile {
  readonly file: string;
  readonly tables: CriTables;
  /** Where a change has to be made. */
  readonly origin: ConfigSource;
}

/** What to write where, so that one setting of containerd is changed and stays. */
export function settingLines(
  table: CriTable,
  key: string,
  value: string | boolean,
  config: ConfigFile,
): string[] {
  const { file, tables, origin } = config;
  const lines = [`[${table.name}]`, `  ${key} = ${JSON.stringify(value)}`];
  switch (origin.kind) {
    case 'file': {
      const whole = withVersion(lines, config);
      if (tables.isBlank) return [`# write ${file} with:`, ...whole];
      return changedLines(file, table.isThere, whole);
    }
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

/** Without its version a file counts as the oldest format, which does not have these settings. */
function withVersion(lines: readonly string[], { tables: { newVersion } }: ConfigFile): string[] {
  return newVersion === undefined ? [...lines] : [`version = ${newVersion}`, ...lines];
}

/** containerd does not start if a table is written twice. */
function changedLines(file: string, isThere: boolean, lines: readonly string[]): string[] {
  return [
    isThere ? `# ${file} has this table: set in it` : `# add at the end of ${file}:`,
    ...lines,
  ];
}

/**
 * k3s has a base template of its own, to which lines may be added
 * (https://docs.k3s.io/advanced#configuring-containerd).
 */
function templateLines(
  { by, path, text }: Extract<ConfigSource, { kind: 'template' }>,
  table: CriTable,
  lines: readonly string[],
  file: string,
): string[] {
  const why = `# ${by} makes ${file} anew at every start, of a template`;
  if (text !== undefined && hasTable(text, table.name))
    return [why, ...changedLines(path, true, lines)];
  if (!table.isThere) {
    if (text !== undefined) return [why, ...changedLines(path, false, lines)];
    return [`${why}: write ${path}:`, '{{ template "base" . }}', ...lines];
  }
  // The base template has the table: it cannot be written again below.
  return [
    `${why}, and has this table in its own: make a template of what it is now, and set in it`,
    `cp ${file} ${path}`,
    ...lines,
    `# after an upgrade of ${by}, make it anew`,
  ];
}
