import { createHash } from 'node:crypto';
import { formatDuration } from '../../base/duration.ts';
import { VIA_HEADER, VIA_HOSTS_TOML } from '../../base/spegel-headers.ts';

/** What one mirror block says; every value is checked already. */
export interface MirrorBlockSettings {
  /** URLs of the mirrors, in the order in which containerd is to ask them. */
  readonly targets: readonly string[];
  readonly resolveTags: boolean;
  readonly dialTimeoutMs: number;
  /** Value of the Authorization header, or undefined for none. */
  readonly authorization: string | undefined;
}

/** Keys at the root of a hosts.toml, which describe the registry itself (containerd's hosts.md). */
export interface RegistryKeys {
  readonly server?: string | undefined;
  /** Paths of CA certificates. */
  readonly ca?: readonly string[] | undefined;
  /** Paths of client certificates, each with its key. */
  readonly client?: readonly (readonly [string, string])[] | undefined;
}

/** The `[host…]` tables of the mirrors, in the form that containerd 1.6 to 2.4 accepts. */
export function hostTables(settings: MirrorBlockSettings): string {
  const capabilities = settings.resolveTags ? ['pull', 'resolve'] : ['pull'];
  const tables = settings.targets.map((target) => {
    const host = `host.${quoted(target)}`;
    const lines = [
      `[${host}]`,
      `capabilities = [${capabilities.map(quoted).join(', ')}]`,
      `dial_timeout = ${quoted(formatDuration(settings.dialTimeoutMs))}`,
      '',
      `[${host}.header]`,
      `${VIA_HEADER} = ${quoted(VIA_HOSTS_TOML)}`,
    ];
    if (settings.authorization !== undefined) {
      lines.push(`Authorization = ${quoted(settings.authorization)}`);
    }
    return `${lines.join('\n')}\n`;
  });
  return tables.join('\n');
}

/**
 * The lines for the root of a file. `client` is always written as pairs, since TOML before 1.0 has
 * no mixed arrays.
 */
export function registryLines({ server, ca, client }: RegistryKeys): string {
  const lines: string[] = [];
  if (server !== undefined) lines.push(`server = ${quoted(server)}`);
  if (ca?.length) lines.push(`ca = [${ca.map(quoted).join(', ')}]`);
  if (client?.length) {
    lines.push(`client = [${client.map((pair) => `[${pair.map(quoted).join(', ')}]`).join(', ')}]`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

/**
 * A TOML basic string. JSON's escapes are TOML's; JSON leaves one control character as it is, which
 * is escaped here.
 */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll('\u007F', '\\u007F');
}

const BEGIN = '# >>> spegel';
const END = '# <<< spegel';
const BEGIN_LINE = /# >>> spegel ([0-9a-f]{12})\b[^\n]*\n/g;
const END_LINE = /^# <<< spegel\b[^\n]*(?:\n|$)/gm;

/**
 * `body` between our marks. The sum in the first mark tells later whether somebody wrote in
 * between.
 */
export function marked(body: string): string {
  const note = `written by 'spegel configuration', taken out by 'spegel cleanup'; do not edit`;
  return `${BEGIN} ${sumOf(body)}: ${note}\n${body}${END}\n`;
}

/** A block of ours in a text, from `start` to `end` with its marks, and the body between them. */
export interface FoundBlock {
  readonly start: number;
  readonly end: number;
  readonly body: string;
  /** False when something between the marks is not as we wrote it. */
  readonly isIntact: boolean;
}

/**
 * Every block in a text, also copies that somebody made. Undefined when a mark lacks its partner.
 */
export function findBlocks(text: string): FoundBlock[] | undefined {
  const blocks: FoundBlock[] = [];
  const begins = [...text.matchAll(BEGIN_LINE)];
  const ends = [...text.matchAll(END_LINE)];
  if (begins.length !== ends.length) return undefined;
  for (const [index, begin] of begins.entries()) {
    const end = ends[index];
    const bodyStart = begin.index + begin[0].length;
    const next = begins[index + 1]?.index ?? text.length;
    if (end === undefined || end.index < bodyStart || end.index > next) return undefined;
    const body = text.slice(bodyStart, end.index);
    const isIntact = sumOf(body) === begin[1];
    blocks.push({ start: begin.index, end: end.index + end[0].length, body, isIntact });
  }
  return blocks;
}

/**
 * A short hash that tells texts apart. Line ends do not count: editors and version control change
 * them.
 */
export function sumOf(body: string): string {
  return createHash('sha256').update(body.replaceAll('\r', '')).digest('hex').slice(0, 12);
}
