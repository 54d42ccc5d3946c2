/** What an administrator may do in certs.d between our runs, for fast-check. */
import fc from 'fast-check';
import { hostsToml } from './arbitrary-toml.ts';

/** `file` and `at` choose from what is there when it is done; `%` in texts becomes a token. */
export type Edit =
  | { do: 'insert'; file: number; at: number; text: string }
  | { do: 'remove'; file: number; at: number; count: number }
  | { do: 'replace'; file: number; at: number; text: string }
  | { do: 'write'; name: string; text: string; mode: number }
  | { do: 'chmod'; file: number; mode: number }
  | { do: 'turn line ends'; file: number }
  | { do: 'save as editors do'; file: number }
  | { do: 'delete'; file: number }
  | { do: 'copy'; file: number; name: string }
  | { do: 'remove directory' | 'make directory'; name: string }
  | { do: 'rename directory'; name: string; to: string }
  | { do: 'certificate'; name: string; file: string; isThere: boolean };

/** Where he works; few, so that he meets us often. */
const NAMES = ['_default', 'docker.io', 'quay.io', 'localhost:5000', 'localhost_5000_'];

/** Whole lines, as they are typed. */
const LINES = [
  '# a comment %\n',
  '\n# far %\n\n',
  '[host."https://typed-§.example"]\ncapabilities = ["pull"] # %\n',
  '\n[host."https://typed-§.example"] # %\n  skip_verify = true # %\n',
  'x-§ = "%"\n',
  'server = "https://typed-§.example"\n',
  'capabilities = ["pull"] # %\n',
  '  Authorization = "%"\n',
  '[host."http://127.0.0.1:5000"] # %\nskip_verify = true # %\n',
  '# >>> spegel %\n',
  'no TOML %\n',
];

const text = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...LINES.slice(0, 4)) },
  { weight: 2, arbitrary: fc.constantFrom(...LINES) },
);
const at = fc.oneof(fc.constant(0), fc.nat(12), fc.constant(1_000_000));
const which = fc.nat(5);
const name = fc.constantFrom(...NAMES);
const mode = fc.constantFrom(0o644, 0o600, 0o640, 0o444);
const file = which;

const does = <T extends Edit['do']>(what: T) => fc.constant(what);

export const edit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: does('insert'), file, at, text }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: does('remove'), file, at, count: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: does('replace'), file, at, text }) },
  { weight: 3, arbitrary: fc.record({ do: does('write'), name, text: hostsToml, mode }) },
  { weight: 2, arbitrary: fc.record({ do: does('chmod'), file, mode }) },
  { weight: 1, arbitrary: fc.record({ do: does('turn line ends'), file }) },
  { weight: 1, arbitrary: fc.record({ do: does('save as editors do'), file }) },
  { weight: 2, arbitrary: fc.record({ do: does('delete'), file }) },
  { weight: 2, arbitrary: fc.record({ do: does('copy'), file, name }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('remove directory' as const, 'make directory' as const),
      name,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: does('rename directory'), name, to: name }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: does('certificate'),
      name,
      file: fc.constantFrom('ca.crt', 'client.cert', 'client.key'),
      isThere: fc.boolean(),
    }),
  },
);
