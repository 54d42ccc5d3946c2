import { MAX_RANGES } from './constants.ts';

/**
 * One range of a `Range` header (RFC 9110, 14.1.2). `from` is open-ended, `closed` names its last
 * byte, `suffix` asks for the last `length` bytes.
 */
export type RangeSpec =
  | { readonly kind: 'from'; readonly start: number }
  | { readonly kind: 'closed'; readonly start: number; readonly last: number }
  | { readonly kind: 'suffix'; readonly length: number };

/** Bytes `start` up to, not including, `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

const BYTES = /^bytes=[ \t]*(.*)$/i;
const ONE_RANGE = /^(\d*)-(\d*)$/;

/**
 * Reads a `Range` header with one range. Undefined when there is nothing to honour: no header,
 * another unit, garbage, a last byte before the first, several ranges. RFC 9110, 14.2 allows to
 * ignore each of them and to answer 200.
 */
export function parseRange(header: string | undefined): RangeSpec | undefined {
  const specs = parseRanges(header);
  return specs.length === 1 ? specs[0] : undefined;
}

/**
 * Reads a `Range` header with 1 to MAX_RANGES ranges, in its order. Empty when there is nothing to
 * honour: as for `parseRange`, when one of the ranges is garbage, or when there are more.
 */
export function parseRanges(header: string | undefined): readonly RangeSpec[] {
  const [, list = ''] = BYTES.exec(header ?? '') ?? [];
  const texts = list.split(',').map((text) => text.trim());
  const present = texts.filter((text) => text !== '');
  if (present.length > MAX_RANGES) return [];
  const specs = present.map(parseOne);
  return specs.every((spec) => spec !== undefined) ? specs : [];
}

function parseOne(text: string): RangeSpec | undefined {
  const [, first = '', last = ''] = ONE_RANGE.exec(text) ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') return { kind: 'suffix', length: position(last) };
  if (last === '') return { kind: 'from', start: position(first) };
  if (position(last) < position(first)) return undefined;
  return { kind: 'closed', start: position(first), last: position(last) };
}

/** A position with more digits than a safe integer is valid, and beyond the end of any content. */
function position(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

/** The bytes that a range means in content of `size` bytes; undefined: 416 (RFC 9110, 15.5.17). */
export function resolveRange(spec: RangeSpec, size: number): ByteRange | undefined {
  if (spec.kind === 'suffix') {
    if (spec.length === 0 || size === 0) return undefined;
    return { start: Math.max(0, size - spec.length), end: size };
  }
  if (spec.start >= size) return undefined;
  return { start: spec.start, end: spec.kind === 'from' ? size : Math.min(spec.last + 1, size) };
}

/**
 * The bytes that several ranges mean in content of `size` bytes; empty: 416. Ranges beyond the end
 * are left out. Those that overlap or touch become one, at the place of the first of them (RFC
 * 9110, 15.3.7.2): otherwise a short request could ask for the whole content many times over. So no
 * byte is in two of the ranges.
 */
export function resolveRanges(specs: readonly RangeSpec[], size: number): readonly ByteRange[] {
  const satisfiable = specs
    .map((spec) => resolveRange(spec, size))
    .filter((range) => range !== undefined)
    .map((range, place) => ({ ...range, place }));
  const merged: (ByteRange & { readonly place: number })[] = [];
  for (const next of satisfiable.toSorted((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last === undefined || next.start > last.end) {
      merged.push(next);
    } else {
      const end = Math.max(last.end, next.end);
      merged.splice(-1, 1, { start: last.start, end, place: Math.min(last.place, next.place) });
    }
  }
  merged.sort((a, b) => a.place - b.place);
  return merged.map(({ start, end }) => ({ start, end }));
}

/** The value of a `Range` header that asks for `spec`. */
export function formatRange(spec: RangeSpec): string {
  if (spec.kind === 'suffix') return `bytes=-${spec.length}`;
  return `bytes=${spec.start}-${spec.kind === 'from' ? '' : spec.last}`;
}

/** The value of `Content-Range` in a 206. */
export function formatContentRange(range: ByteRange, size: number): string {
  return `bytes ${range.start}-${range.end - 1}/${size}`;
}

const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/;

/** Reads the `Content-Range` of a 206; undefined when it is malformed or hides the size (`*`). */
export function parseContentRange(
  header: string | undefined,
): { readonly range: ByteRange; readonly size: number } | undefined {
  const match = CONTENT_RANGE.exec(header ?? '');
  if (match === null) return undefined;
  const [start, last, size] = match.slice(1).map(Number);
  if (start === undefined || last === undefined || size === undefined) return undefined;
  if (start > last || last >= size) return undefined;
  return { range: { start, end: last + 1 }, size };
}
