import { isDeepStrictEqual } from 'node:util';
import { parse } from 'toml';

/**
 * `written`: every byte is Go Spegel's. `edited`: it begins as Go Spegel's, and was changed since.
 */
export type GoVerdict = 'written' | 'edited';

/**
 * One mirror target as Go Spegel 0.2 to 0.7 writes it; older ones have no `dial_timeout` and no
 * header. A target has no path. Group 1 is the target. Group 2 is the text that all targets of a
 * file have in common, but for the header's URL.
 */
const TARGET =
  /\[host\.'(https?:\/\/[^'\s/]+)'\]\n(capabilities = \['pull'(?:, 'resolve')?\](?:\ndial_timeout = '200ms')?)(?:\n\[host\.'\1'\.header\]\n(Authorization = 'Basic [A-Za-z0-9+/=]+'))?/y;

/** The text before the targets. Early versions (0.0) wrote `[host]`, by a TOML library. */
const START = /^(?:server = '([^'\s]+)'\n\n(\[host\]\n)?)?/;

/**
 * Judges the hosts.toml of a registry's directory; undefined for a file that Go Spegel did not
 * write. `before` is the file that Go Spegel moved away; with `--prepend-existing` it repeats that
 * file's hosts behind its own. The judgement is strict, down to the newline that is missing at the
 * end unless an editor added it, since a `written` file is deleted.
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
  // A host that was there before may look like a target, so any of the ends may be the last
  // target's.
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

/** The offsets at which the first, the second... target ends. */
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

/** Whether nothing follows the targets, or exactly the hosts of the file before. */
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

/** Whether a library wrote the line: no comment, no indentation, nothing over several lines. */
function isMarshalledLine(line: string): boolean {
  const code = line.replace(/'[^']*'|"(?:[^"\\]|\\.)*"/g, '""');
  return code === code.trim() && !code.includes('#');
}

/**
 * The hosts with a line `[host."..."]`, in the order of the lines: those that Go Spegel repeats, in
 * its order. Each line is parsed alone, since a parsed document keeps neither.
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
