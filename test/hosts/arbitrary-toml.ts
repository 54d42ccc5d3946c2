/**
 * Texts of hosts.toml files for fast-check. `%` stands for a token that is unique, `§` for one of a
 * chunk.
 */
import fc from 'fast-check';

/**
 * Replaces each `%`, and each chunk's `§`, by a token: `adm17x` can stand in any key, value and
 * comment.
 */
export function numbered(text: string, count: { value: number }): string {
  const token = () => {
    count.value += 1;
    return `adm${count.value}x`;
  };
  return text
    .split('\f')
    .map((chunk) => {
      const own = token();
      return chunk.replaceAll('§', own).replaceAll('%', token);
    })
    .join('');
}

/** Keys at the root, each at most once. */
const ROOT_LINES = [
  'server = "https://server-%.example"\n',
  'capabilities = ["pull", "resolve"] # %\n',
  'ca = "/etc/%.crt"\n',
  'client = [["/etc/%.cert", "/etc/%.key"]]\n',
  'skip_verify = false# %\n',
  "  'override_path' = true\t# %  \n",
  'header.x-% = ["%"]\n',
  'text = """\n[host."https://no-%.example"]\n# >>> spegel %\n[not a table # %\n"""\n',
  'list = [\n  "[host.a]", # %\n  # [host."b"] %\n  "%",\n]\n',
  "literal = '''\n[host.'%']\n  '' '''\n",
  'quoted = "a \\" # [%]"\n',
];

const HEADERS = [
  '[host."https://host-§.example"]',
  '[host."https://host-§.example"]',
  "[host.'http://host-§.example:5000']",
  '[ host . "https://host-§.example" ]',
  '[host.host-§]',
  '  [host."host-§.example"] # %',
  '\t["host"."https://host-§.exämple"]',
  '[host."https://[::1]:5000/§"]',
];

const SETTINGS = [
  'capabilities = ["pull"] # %\n',
  '  skip_verify = true\n',
  'ca = ["/etc/%.crt", "own.crt"]\n',
  'client = "/etc/%.pem"\n',
  '# a comment %\n',
  'dial_timeout = "3s"\n',
  'header = { x-% = "%" }\n',
  'override_path = true# %\n',
  'note = """\n[host."x"]\n%"""\n',
];

const hostTable = fc
  .tuple(fc.constantFrom(...HEADERS), fc.subarray(SETTINGS, { maxLength: 3 }), fc.nat(7))
  .map(([header, settings, form]) => {
    const table = `${header}\n${settings.join('')}`;
    if (settings.some((line) => line.startsWith('header'))) return table;
    const sub = `${header.replace(/\].*/, '.header]').replace('§]', '§.header]')}\nx-% = ["%", "b"]\n`;
    if (form === 0) return sub + table;
    return form === 1 ? table + sub : table;
  });

const GAPS = ['', '', '\n', '\n\n', '# above %\n', '\n# above %\n#\n', '  \t\n', '  # far %\n\n'];

/** Written in a way that no block can join, or not at all. */
const ODD = [
  '[host]\n"https://host-§.example" = { capabilities = ["pull"] } # %\n',
  '[host]\n"https://host-§.example".skip_verify = true # %\n',
  '[host]\n# %\n',
  '[host]\n[host."https://host-§.example"]\n# %\n',
  '[[host]]\nname = "%"\n',
  '[header]\nx-% = "%"\n',
  '[plugins."x%"]\na = 1\n',
  '[host."http://127.0.0.1:5000"] # %\nskip_verify = true # %\n',
  '[host."https://twice.example"]\n# %\n[host."https://twice.example"]\n',
  '# >>> spegel 0123456789ab: a look-alike %\n',
  '# <<< spegel %\n',
  '= no TOML %\n',
  '[host."https://%\n',
];
const ODD_ROOT = [
  'host."https://host-%.example".capabilities = ["pull"]\n',
  'host = { "https://host-%.example" = { skip_verify = true } }\n',
  'host = "%"\n',
  'mark = """\n# >>> spegel 0123456789ab %\n# <<< spegel\n"""\n',
];

const rare = <T>(often: T, weight: number, ...seldom: T[]) =>
  fc.oneof(
    { weight, arbitrary: fc.constant(often) },
    { weight: 1, arbitrary: fc.constantFrom(...seldom) },
  );

const gap = fc.constantFrom(...GAPS);

/** A whole file. */
export const hostsToml: fc.Arbitrary<string> = fc
  .record({
    first: gap,
    root: fc.oneof(
      { weight: 2, arbitrary: fc.constant([]) },
      { weight: 3, arbitrary: fc.shuffledSubarray(ROOT_LINES, { maxLength: 4 }) },
    ),
    oddRoot: rare('', 20, ...ODD_ROOT),
    tables: fc.array(fc.tuple(gap, hostTable), { maxLength: 3 }),
    odd: rare('', 9, ...ODD),
    isOddFirst: fc.boolean(),
    last: gap,
    end: rare<(text: string) => string>(
      (text) => text,
      4,
      (text) => text.replace(/\n$/, ''),
      (text) => text.replaceAll('\n', '\r\n'),
      (text) => `\uFEFF${text}`,
      (text) => `${text}  \t`,
    ),
  })
  .map(({ first, root, oddRoot, tables, odd, isOddFirst, last, end }) => {
    const hosts = tables.map(([above, table]) => `${above}\f${table}`);
    const chunks = isOddFirst ? [odd, ...hosts] : [...hosts, odd];
    return end([first, ...root, oddRoot, ...chunks, last].join('\f'));
  });
