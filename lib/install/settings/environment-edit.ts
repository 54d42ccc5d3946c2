import { createHash } from 'node:crypto';
import { SpegelError } from '../../base/errors.ts';
import type { Variables } from '../../proxy/go-proxy.ts';
import { entriesOf, parseEnvironmentFile, quoted } from '../../systemd/environment-syntax.ts';

/** A setting that is changed. `from` is undefined if it was not set. */
export interface EnvironmentEdit {
  readonly name: string;
  readonly from: string | undefined;
  readonly to: string;
}

export interface EditedEnvironment {
  readonly text: string;
  readonly edits: readonly EnvironmentEdit[];
}

/** A variable with the prefix wins over the bare name. */
const PREFIX = 'SPEGEL_';

/**
 * Puts settings into the text of an environment file and keeps every other byte. A setting in force
 * is changed in its place, a commented one is taken into force, any other is appended. Throws
 * SpegelError ERR_INSTALL if that would change something else.
 */
export function editedEnvironment(text: string, set: Variables): EditedEnvironment {
  const was = parseEnvironmentFile(text);
  const edits: EnvironmentEdit[] = [];
  let now = text;
  for (const [bare, to = ''] of Object.entries(set)) {
    const name = was[`${PREFIX}${bare}`] ? `${PREFIX}${bare}` : bare;
    const from = was[name];
    if (from === to) continue;
    now = withSetting(now, name, to);
    edits.push({ name, from, to });
  }
  assertNothingElse(was, parseEnvironmentFile(now), edits);
  return { text: now, edits };
}

function withSetting(text: string, name: string, value: string): string {
  const line = `${name}=${quoted(value)}`;
  const entries = entriesOf(text);
  const inForce = entries.findLast((entry) => entry.name === name);
  if (inForce !== undefined) return replaced(text, inForce, line);
  const offered = [...text.matchAll(new RegExp(`^[ \\t]*#[ \\t]*${name}=[^\\r\\n]*`, 'gm'))]
    .map(({ 0: whole, index }) => ({ start: index, end: index + whole.length }))
    // Inside a quoted value it is a part of that value.
    .findLast(({ start }) => !entries.some((one) => one.start < start && start < one.end));
  if (offered !== undefined) return replaced(text, offered, line);
  const end = text.includes('\r\n') ? '\r\n' : '\n';
  if (text === '' || text.endsWith('\n')) return `${text}${line}${end}`;
  return `${text}${end}${line}`;
}

function replaced(
  text: string,
  { start, end }: { start: number; end: number },
  by: string,
): string {
  return `${text.slice(0, start)}${by}${text.slice(end)}`;
}

/** A quote that is never closed, or a backslash at the end, takes in the lines below it. */
function assertNothingElse(
  was: Variables,
  now: Variables,
  edits: readonly EnvironmentEdit[],
): void {
  const desired = { ...was, ...Object.fromEntries(edits.map(({ name, to }) => [name, to])) };
  const names = Object.keys({ ...desired, ...now });
  const other = names.find((name) => desired[name] !== now[name]);
  if (other === undefined) return;
  const lines = edits.map(({ name, to }) => `${name}=${quoted(to)}`).join(' and ');
  throw new SpegelError(
    'ERR_INSTALL',
    `expected an environment file to which ${lines} can be added, got one in which that changes ${other}: a quote or a line that is not ended; mend that, or write it by hand`,
  );
}

/** The comment at the head of the file, and the digests of all heads that releases have written. */
export interface EnvironmentHead {
  readonly text: string;
  /** SHA-256 in hex. */
  readonly known: readonly string[];
}

/** SHA-256 in hex of the comment at the head of a file, up to the first empty line. */
export function headDigest(text: string): string {
  const plain = headOf(text).replaceAll('\r\n', '\n');
  return createHash('sha256').update(plain).digest('hex');
}

/**
 * The text with the head of this release, if its head is that of an earlier one. An edited head
 * stays.
 */
export function withHead(text: string, { text: head, known }: EnvironmentHead): string {
  const former = headOf(text);
  if (!known.includes(headDigest(text))) return text;
  const end = former.includes('\r\n') ? '\r\n' : '\n';
  return `${head.replaceAll('\n', end)}${text.slice(former.length)}`;
}

function headOf(text: string): string {
  return /^(?:#[^\n]*\n)*/.exec(text)?.[0] ?? '';
}
