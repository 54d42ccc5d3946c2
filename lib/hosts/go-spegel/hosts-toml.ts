import { isDeepStrictEqual } from 'node:util';
import { parse } from 'toml';

/** `written`: every byte is Go Spegel's. `edited`: begins as Go Spegel's, somebody changed it since. */
export type GoVerdict = 'written' | 'edited';

/**
 * One mirror target as Go Spegel 0.2 to 0.7 writes it; older ones have no `dial_timeout`, no header. A target has
 * no path. Group 1 is the target, group 2 what all targets of a file have in common, but for the header's URL.
 */
const TARGET =
  /\[host\.'(https?:\/\/[^'\s/]+)'\]\n(capabilities = \['pull'(?:, 'resolve')?\](?:\ndial_timeout = '200ms')?)(?:\n\[host\.'\1'\.header\]\n(Authorization = 'Basic [A-Za-z0-9+/=]+'))?/y;

/** Before the targets. `[host]` is what early versions (0.0) wrote, with a TOML library. */
const START = /^(?:server = '([^'\s]+)'\n\n(\[host\]\n)?)?/;

/**
 * Judges the hosts.toml of a registry's directory; undefined for one that Go Spegel did not write. `before` is the
 * file that Go Spegel had moved away, whose hosts it repeats behind its own with `--prepend-existing`. As strict as
 * can be, down to the newline that is missing at the end unless an editor added it: what is `written` is deleted.
 */
export function judgeGoHostsToml(
  registry: string,
  text: string,
  before: string | undefined,
): GoVerdict | undefined {
  const [start, server, oldForm] = START.exec(text) ?? [''];
  if (!isServerOf(registry, server, oldForm === undefined ? undefined : before)) return undefined;
  const ends = targetEnds(text, start.length);
  if (ends.length === 0) return undefined;
  const body = text.trimEnd();
  if (text !== (oldForm === undefined ? body : `${body}\n`)) return 'edited';
  // A host that was there before may look like a target: any of the ends may be the one behind the last target.
  return ends.some((end) => isRest(body.slice(end), before)) ? 'written' : 'edited';
}

/** The oldest form repeated the `server` of the file before it. */
function isServerOf(registry: string, server: string | undefined, before: string | undefined) {
  if (server === undefined || registry === '_default') {
    return server === undefined && registry === '_default';
  }
  if (registry === 'docker.io' && server === 'https://registry-1.docker.io') return true;
  if (server === `https://${registry}` || server === `http://${registry}`) return true;
  return before !== undefined && documentOf(before)?.server === server;
}

/** Where the first, the second... target ends. */
function targetEnds(text: string, start: number): number[] {
  const ends: number[] = [];
  let common: (string | undefined)[] | undefined;
  for (let at = start; ; at = (ends.at(-1) ?? 0) + 2) {
    TARGET.lastIndex = at;
    const match = TARGET.exec(text);
    if (match === null) return ends;
    common ??= match.slice(2);
    if (!isDeepStrictEqual(match.slice(2), common)) return ends;
    ends.push(at + match[0].length);
    if (!text.startsWith('\n\n', ends.at(-1))) return ends;
  }
}

/** Whether nothing else follows the targets, or the hosts of the file before, and nothing but them. */
function isRest(rest: string, before: string | undefined): boolean {
  if (rest === '') return true;
  if (before === undefined || !rest.startsWith('\n\n')) return false;
  const body = rest.slice(2);
  const [now, then] = [documentOf(body), documentOf(before)];
  if (now === undefined || then === undefined || !body.split('\n').every(isMarshalledLine)) {
    return false;
  }
  const names = hostNames(before);
  const hosts = tableOf(now.host);
  return (
    names.length > 0 &&
    isDeepStrictEqual(hostNames(body), names) &&
    Object.keys(now).length === 1 &&
    Object.keys(hosts).length === names.length &&
    names.every((name) => isDeepStrictEqual(hosts[name], tableOf(then.host)[name]))
  );
}

/** A library wrote it, not a person: no comment, no indentation, nothing over several lines. */
function isMarshalledLine(line: string): boolean {
  const code = line.replace(/'[^']*'|"(?:[^"\\]|\\.)*"/g, '""');
  return code === code.trim() && !code.includes('#');
}

/**
 * The hosts that have a line `[host."..."]`, in the order of these lines: the ones that Go Spegel repeats, in its
 * order. Each line is parsed for itself, since a parsed document keeps neither.
 */
function hostNames(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    if (!/^\s*\[[^[]/.test(line)) return [];
    const names = Object.entries(tableOf(documentOf(line)?.host));
    return names.filter(([, table]) => Object.keys(tableOf(table)).length === 0).map(([n]) => n);
  });
}

function documentOf(text: string): Record<string, unknown> | undefined {
  try {
    return parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function tableOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
