import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { build, type Metafile } from 'esbuild';
import { commitOf } from './git.ts';

/**
 * Bundles cmd/main.ts and all it imports into one CommonJS file; gives the list of what went in.
 */
export async function bundle(root: string, outfile: string): Promise<Metafile> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  await mkdir(dirname(outfile), { recursive: true });
  const { metafile } = await build({
    // Paths in the output are relative to this: the same in whatever folder it is built.
    absWorkingDir: root,
    entryPoints: ['cmd/main.ts'],
    outfile,
    bundle: true,
    minify: true,
    keepNames: true,
    platform: 'node',
    format: 'cjs',
    target: 'node26',
    metafile: true,
    // Licences travel as a file of their own (stage.ts).
    legalComments: 'none',
    // node_modules may be a link, as in the test of two folders: its name, not its place, goes into
    // the list.
    preserveSymlinks: true,
    // Without it `import.meta.url` of a dependency would be undefined in CommonJS.
    define: {
      __SPEGEL_VERSION__: JSON.stringify(version),
      __SPEGEL_COMMIT__: JSON.stringify(commitOf(root)),
      'import.meta.url': '__importMetaUrl',
    },
    banner: { js: 'const __importMetaUrl=require("node:url").pathToFileURL(__filename).href;' },
    logLevel: 'warning',
  });
  assertAscii(outfile);
  return metafile;
}

/**
 * V8 keeps the source in memory, with two bytes for each character as soon as one is not Latin: 2
 * MB more in every process. esbuild escapes such characters in strings; in a regular expression we
 * have to.
 */
function assertAscii(file: string): void {
  const foreign = /.{0,40}[^\0-\x7f].{0,20}/.exec(readFileSync(file, 'utf8'));
  if (foreign !== null)
    throw new Error(`${file}: write as an escape what is not ASCII: ${foreign}`);
}
