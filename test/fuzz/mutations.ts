/** Valid inputs made wrong, for fast-check: a parser's first check does not end them. */
import fc from 'fast-check';

/**
 * What a repeated piece may make of an input: as large as anything that a parser here is given
 * whole.
 */
const MAX_BYTES = 65_536;

type Mutation =
  | { do: 'flip'; at: number; bits: number }
  | { do: 'cut'; at: number; count: number }
  | { do: 'end'; at: number }
  | { do: 'insert'; at: number; bytes: Uint8Array }
  | { do: 'repeat'; at: number; count: number; times: number }
  | { do: 'splice'; at: number; from: number };

/** Where something is done: in the middle of the input, scaled to its length. */
const at = fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 0xffff));
const few = fc.integer({ min: 1, max: 16 });
const times = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 2, max: 40 }) },
  { weight: 1, arbitrary: fc.constant(MAX_BYTES) },
);

/** Numbers as far as their forms go: varints without end, lengths of 2 and 4 GB, zero. */
const HUGE = [
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0x07],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
  [0xff, 0xff],
  [0x7f, 0xff, 0xff, 0xff],
  [0x00, 0x00, 0x00, 0x00],
].map((bytes) => Uint8Array.from(bytes));

function mutation(pieces: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Mutation> {
  return fc.oneof(
    fc.record({ do: fc.constant('flip' as const), at, bits: fc.integer({ min: 1, max: 255 }) }),
    fc.record({ do: fc.constant('cut' as const), at, count: few }),
    fc.record({ do: fc.constant('end' as const), at }),
    fc.record({ do: fc.constant('insert' as const), at, bytes: pieces }),
    fc.record({ do: fc.constant('repeat' as const), at, count: few, times }),
    fc.record({ do: fc.constant('splice' as const), at, from: at }),
  );
}

function mutated(bytes: Buffer, other: Buffer, mutations: readonly Mutation[]): Buffer {
  return mutations.reduce((now, one) => apply(now, other, one), bytes);
}

function apply(bytes: Buffer, other: Buffer, mutation: Mutation): Buffer {
  const place = (where: number, length: number) => Math.floor((where / 0xffff) * length);
  const start = place(mutation.at, bytes.length);
  const [head, tail] = [bytes.subarray(0, start), bytes.subarray(start)];
  switch (mutation.do) {
    case 'flip':
      if (tail.length === 0) return bytes;
      return Buffer.concat([head, Buffer.from([(tail[0] ?? 0) ^ mutation.bits]), tail.subarray(1)]);
    case 'cut':
      return Buffer.concat([head, tail.subarray(mutation.count)]);
    case 'end':
      return head;
    case 'insert':
      return Buffer.concat([head, mutation.bytes, tail]);
    case 'repeat': {
      const piece = tail.subarray(0, mutation.count);
      const room = Math.max(0, MAX_BYTES - bytes.length);
      const count = Math.min(mutation.times, Math.floor(room / Math.max(1, piece.length)));
      return Buffer.concat([head, ...Array.from({ length: count }, () => piece), tail]);
    }
    case 'splice':
      return Buffer.concat([head, other.subarray(place(mutation.from, other.length))]);
  }
}

/**
 * Bytes of `valid`, most of them with one to four mutations: flipped, cut, ended, repeated, spliced
 * with another valid input, with huge numbers or `tokens` put in. Now and then bytes that have
 * nothing to do with it.
 */
export function mutatedBytes(
  valid: fc.Arbitrary<Uint8Array>,
  tokens: readonly (string | Uint8Array)[] = [],
): fc.Arbitrary<Buffer> {
  const pieces = fc.oneof(
    fc.constantFrom(...HUGE, ...tokens.map((token) => Buffer.from(token))),
    fc.uint8Array({ minLength: 1, maxLength: 8 }),
  );
  const mutations = fc.array(mutation(pieces), { maxLength: 4 });
  const near = fc
    .tuple(valid, valid, mutations)
    .map(([bytes, other, all]) => mutated(Buffer.from(bytes), Buffer.from(other), all));
  const far = fc.uint8Array({ maxLength: 512 }).map((bytes) => Buffer.from(bytes));
  return fc.oneof({ weight: 15, arbitrary: near }, { weight: 1, arbitrary: far });
}

/** As `mutatedBytes`, for text: what is no UTF-8 has become U+FFFD, as where a file is read. */
export function mutatedText(
  valid: fc.Arbitrary<string>,
  tokens: readonly string[] = [],
): fc.Arbitrary<string> {
  const odd = ['\r', '\n', '\r\n', '\0', '\u001b[2J', '\u0085', '\u009b', '\u2028', '\ufeff'];
  const bytes = valid.map((text) => Buffer.from(text));
  return mutatedBytes(bytes, [...odd, ...tokens]).map((one) => one.toString());
}

/**
 * Any JSON value as text, `__proto__`, numbers without end and members without a prototype among
 * it.
 */
export const json: fc.Arbitrary<string> = fc.json({ maxDepth: 4 });

/** `bytes` in pieces: at each of the places that `cuts` names. */
export function pieces(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const ends = [...places, bytes.length];
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

/** Where a stream is cut. */
export const cuts = fc.array(fc.nat(MAX_BYTES), { maxLength: 12 });

/** What a terminal obeys, and what would be another line of a log. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
export const CONTROL = /[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/;
