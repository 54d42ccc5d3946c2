/** Files, each with one import or one line that the house forbids: path and source. */
export const bad: Record<string, [string, string]> = {
  'an import': ['lib/base/a.ts', "import { b } from '../oci/b.ts';"],
  'a type import': ['lib/oci/a.ts', "import type { B } from '../store/b.ts';"],
  'an inline type import': ['lib/oci/a.ts', "import { type B } from '../store/b.ts';"],
  'an import over several lines': [
    'lib/oci/a.ts',
    "import {\n  b,\n  type C,\n} from '../store/b.ts';",
  ],
  'a default and a namespace': ['lib/oci/a.ts', 'import b, * as c from "../store/b.ts";'],
  'an import for its effects': ['lib/http/a.ts', "import '../oci/b.ts';"],
  'a dynamic import': ['lib/http/a.ts', "const b = await import('../oci/b.ts');"],
  'a dynamic import with options': ['lib/http/a.ts', "import('../oci/b.ts', { with: {} });"],
  'an import type': ['lib/http/a.ts', "let b: import('../oci/b.ts').B;"],
  'a computed import': ['lib/http/a.ts', "import('../oci/' + name);"],
  'a require': ['lib/http/a.cjs', "require('../oci/b.ts');"],
  'an export from': ['lib/routing/a.ts', "export { b } from './libp2p/b.ts';"],
  'an export of all': ['lib/routing/a.ts', "export * from './libp2p/b.ts';"],
  'an export of types': ['lib/routing/a.ts', "export type * from '../daemon.ts';"],
  'a value of a room that lends types': [
    'lib/routing/libp2p/a.ts',
    "import { b } from '../../bootstrap/b.ts';",
  ],
  'cmd reaching past the daemon': ['cmd/a.ts', "import { b } from '../lib/registry/b.ts';"],
  'lib reaching for cmd': ['lib/daemon.ts', "import { b } from '../cmd/b.ts';"],
  'lib reaching for test': ['lib/daemon.ts', "import { b } from '../test/b.ts';"],
  'a detour': ['lib/base/a.ts', "import { b } from '../base/../oci/b.ts';"],
  'an absolute path': ['lib/base/a.ts', "import { b } from '/lib/base/b.ts';"],
  'a subpath import': ['lib/base/a.ts', "import { b } from '#oci/b.ts';"],
  'an import behind a comment': ['lib/base/a.ts', "/* a */ import /* b */ '../oci/b.ts'; // c"],
  'a text that looks like a comment': [
    'lib/base/a.ts',
    "const x = '/*'; import '../oci/b.ts'; '*/';",
  ],
  'a room that is not in the list': ['lib/garage/a.ts', ''],
  'a file beside the rooms': ['lib/util.ts', ''],
  'process.env': ['lib/base/a.ts', 'const home = process.env.HOME;'],
  'process.exit': ['lib/daemon.ts', 'process\n  .exit(1);'],
  'process.argv': ['lib/base/a.ts', 'f(process?.argv);'],
  'process by index': ['lib/base/a.ts', "process['env'];"],
  'process taken apart': ['lib/base/a.ts', 'const { env } = process;'],
  'process imported in part': ['lib/base/a.ts', "import { env } from 'node:process';"],
  'a long file': ['cmd/a.ts', 'a();\n'.repeat(301)],
};

/** Files that the house allows: path and source. */
export const good: Record<string, [string, string]> = {
  'the room itself': [
    'lib/store/a.ts',
    "import { b } from './b.ts';\nimport { c } from './d/c.ts';",
  ],
  'rooms below': [
    'lib/store/a.ts',
    "import { b } from '../oci/b.ts';\nimport { c } from '../base/c.ts';",
  ],
  'types that are lent': [
    'lib/routing/libp2p/a.ts',
    "import type { B } from '../../bootstrap/b.ts';",
  ],
  'packages and Node': ['lib/base/a.ts', "import 'node:fs';\nimport { x } from '@libp2p/tcp';"],
  'the daemon and its parts': ['lib/daemon.ts', "import { b } from './routing/libp2p/b.ts';"],
  'the daemon, when it is needed': [
    'cmd/a.ts',
    "const { Daemon } = await import('../lib/daemon.ts');",
  ],
  'the process in cmd/': ['cmd/a.ts', 'process.exit(process.env.A);'],
  comments: ['lib/base/a.ts', "// import '../oci/b.ts'; process.exit(1)\n/* process.env */"],
  'other parts of the process': [
    'lib/base/a.ts',
    'process.memoryUsage(); this.#process.exitStatus;',
  ],
  'words that only begin so': ['lib/base/a.ts', "f.important('../oci/b.ts'); subprocess.env;"],
  '300 lines': ['lib/base/a.ts', 'a();\n'.repeat(300)],
};
