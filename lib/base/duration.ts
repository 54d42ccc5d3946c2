/** Milliseconds of one unit, as Go's `time.ParseDuration` names them. */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  '\u00b5s': 1e-3,
  '\u03bcs': 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A dot divides the digits: with `\d*\.?\d*`, a long number would take quadratic time. */
const NUMBER_AND_UNIT = /(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/y;

/**
 * Milliseconds of a duration as Go writes it: `200ms`, `1m30s`, `1.5h`, `-2s`, and `0` without a
 * unit. Undefined for anything else. Keeps fractions of a millisecond; the caller sets the bounds.
 */
export function parseDuration(text: string): number | undefined {
  const sign = text.startsWith('-') ? -1 : 1;
  const rest = /^[+-]/.test(text) ? text.slice(1) : text;
  if (rest === '0') return 0;
  let total = 0;
  let end = 0;
  while (end < rest.length) {
    NUMBER_AND_UNIT.lastIndex = end;
    const [whole = '', number = '', unit = ''] = NUMBER_AND_UNIT.exec(rest) ?? [];
    if (whole === '') return undefined;
    total += exact(Number(number) * (UNITS[unit] ?? Number.NaN));
    end += whole.length;
  }
  // `-0s` gives 0, not -0.
  return end > 0 && Number.isFinite(total) ? sign * total || 0 : undefined;
}

/** Makes `1.001s` 1001 ms, although 1.001 * 1000 is a bit less in floating point. */
function exact(product: number): number {
  return Number(product.toPrecision(15));
}

/**
 * Writes milliseconds in the shortest form that `parseDuration` reads back to the same number:
 * `200ms`, `1m30s`, `1h`. From one second on, fractions stand on the seconds (`1.5s`).
 */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms < 1000) return ms === 0 ? '0s' : `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = (ms % 60_000) / 1000;
  const parts = [hours && `${hours}h`, minutes && `${minutes}m`, seconds && `${seconds}s`];
  return parts.filter(Boolean).join('');
}
