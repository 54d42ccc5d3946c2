import { OPEN_NETWORK } from '../../lib/install/settings/network-decision.ts';
import { advice, type Finding } from '../../lib/install/system/finding.ts';
import { ENVIRONMENT_FILE } from '../../lib/install/system/layout.ts';
import { PROXY_NAMES } from '../../lib/proxy/go-proxy.ts';
import { type EnvironmentEntry, entriesOf } from '../../lib/systemd/environment-syntax.ts';
import { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import type { OptionTable } from '../options/option.ts';
import { REGISTRY_OPTIONS } from '../options/registry-options.ts';
import { variablesOf } from '../options/variables.ts';
import { closestName } from './close-name.ts';

/** Puts a changed environment file into force. */
export const CHANGED_SETTINGS = 'systemctl restart spegel spegel-configuration';

/** Names that are no options, but mean something to a service or to `install`. */
const OTHERS = [
  ...PROXY_NAMES,
  ...PROXY_NAMES.map((name) => name.toLowerCase()),
  'TZ',
  OPEN_NETWORK,
];

/** Lines that have no effect: a name that no service reads, and a line that systemd ignores. */
export function nameFindings(text: string): Finding[] {
  const tables: readonly OptionTable[] = [REGISTRY_OPTIONS, CONFIGURATION_OPTIONS];
  const names = tables.flatMap((table) => Object.values(table).flatMap(({ env }) => env ?? []));
  const known = new Set([...OTHERS, ...names.flatMap(variablesOf)]);
  const entries = entriesOf(text);
  const unknown = new Set(entries.map(({ name }) => name).filter((name) => !known.has(name)));
  return [
    ...[...unknown].map((name) => unknownNameFinding(name, names)),
    ...lostBackslashFindings(text, entries),
    ...ignoredLines(text, entries).map(({ line, number }) => {
      const got = JSON.stringify(line.trim().slice(0, 80));
      const said = `${ENVIRONMENT_FILE}: expected NAME=value, got ${got}, which systemd passes over`;
      return advice('settings', said, [correctionOf(line, number), CHANGED_SETTINGS]);
    }),
  ];
}

/** A regular expression is still valid without its backslashes, and means something else. */
const EXPRESSIONS = /^(?:SPEGEL_)?REGISTRY_FILTERS$/;

/** systemd removes backslashes outside quotes. */
function lostBackslashFindings(text: string, entries: readonly EnvironmentEntry[]): Finding[] {
  const inForce = entries.filter(
    (entry) => entry === entries.findLast(({ name }) => name === entry.name),
  );
  return inForce.flatMap(({ name, value, start, end }) => {
    const raw = /=[ \t]*(.*)$/s.exec(text.slice(start, end))?.[1] ?? '';
    if (!EXPRESSIONS.test(name) || /['"\n]/.test(raw) || !raw.includes('\\')) return [];
    const number = text.slice(0, start).split('\n').length;
    const said = `${ENVIRONMENT_FILE}: expected ${name} between single quotes, got ${raw.trim()}, of which systemd makes ${value}`;
    const edit = `sed -i "${number}s/=[[:space:]]*\\(.*[^[:space:]]\\)/='\\1'/" ${ENVIRONMENT_FILE}`;
    return [advice('settings', said, [edit, CHANGED_SETTINGS])];
  });
}

interface IgnoredLine {
  readonly line: string;
  /** Counted from 1, as sed counts. */
  readonly number: number;
}

/** Lines that are neither settings nor comments. */
function ignoredLines(text: string, entries: readonly EnvironmentEntry[]): IgnoredLine[] {
  let rest = '';
  let at = 0;
  for (const { start, end } of entries) {
    // A value may span lines, which have to be counted.
    rest += text.slice(at, start) + text.slice(start, end).replaceAll(/[^\n]/g, '');
    at = end;
  }
  return (rest + text.slice(at))
    .split('\n')
    .map((line, index) => ({ line, number: index + 1 }))
    .filter(({ line }) => !/^\s*(?:[#;]|$)/.test(line));
}

/** `export NAME=…` is meant for a shell. What another line was meant to be is unknown. */
function correctionOf(line: string, number: number): string {
  const isExported = /^[ \t]*export[ \t]+[A-Za-z_][A-Za-z0-9_]*=/.test(line);
  const edit = isExported ? 's/^[[:space:]]*export[[:space:]]*//' : 's/^/# /';
  return `sed -i '${number}${edit}' ${ENVIRONMENT_FILE}`;
}

function unknownNameFinding(name: string, names: readonly string[]): Finding {
  const close = closestName(name.toUpperCase(), names);
  const meant = close === undefined ? '' : `; ${close} is one`;
  const text = `${ENVIRONMENT_FILE}: expected names of options, got ${name}, which no service reads${meant}`;
  const start = `^\\([[:space:]]*\\)${name}[[:space:]]*=`;
  const mend =
    close === undefined
      ? // A comment keeps the administrator's text and the numbers of the lines below.
        `sed -i '/${start}/s/^/# /' ${ENVIRONMENT_FILE}`
      : `sed -i 's/${start}/\\1${close}=/' ${ENVIRONMENT_FILE}`;
  return advice('settings', text, [mend, CHANGED_SETTINGS]);
}
