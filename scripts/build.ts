import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pkg from '@yao-pkg/pkg/lib-es5/sea.js';
import { build } from 'esbuild';

/**
 * Builds dist/spegel: esbuild bundles cmd/main.ts, @yao-pkg/pkg injects the bundle into the Node of the
 * pinned npm package `node-linux-<arch>` as a single executable application.
 */
const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const bundle = join(dist, 'spegel.cjs');
const executable = join(dist, 'spegel');

async function bundleSources(): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  await build({
    entryPoints: [join(root, 'cmd/main.ts')],
    outfile: bundle,
    bundle: true,
    minify: true,
    keepNames: true,
    platform: 'node',
    format: 'cjs',
    target: 'node26',
    // Without it `import.meta.url` of a dependency would be undefined in CommonJS.
    define: {
      __SPEGEL_VERSION__: JSON.stringify(version),
      __SPEGEL_COMMIT__: JSON.stringify(commit()),
      'import.meta.url': '__importMetaUrl',
    },
    banner: { js: 'const __importMetaUrl=require("node:url").pathToFileURL(__filename).href;' },
    logLevel: 'warning',
  });
}

/** The commit that is built; `unknown` outside a checkout, such as in an unpacked source archive. */
function commit(): string {
  try {
    const hash = git('rev-parse', 'HEAD').trim();
    return git('status', '--porcelain') === '' ? hash : `${hash}-dirty`;
  } catch {
    return 'unknown';
  }
}

function git(...args: string[]): string {
  return execFileSync('git', args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

/** A copy of Node without its symbols (a quarter of its size) where the machine has `strip`. */
async function strippedNode(arch: string): Promise<string> {
  const source = join(root, 'node_modules', `node-linux-${arch}`, 'bin', 'node');
  if (!existsSync(source)) {
    throw new Error(`expected ${source} from the npm package node-linux-${arch}; run 'npm ci'`);
  }
  const copy = join(dist, `.node-${arch}`);
  await copyFile(source, copy);
  try {
    execFileSync('strip', [copy], { stdio: 'ignore' });
  } catch {
    process.stderr.write('build: no strip on this machine (binutils): the executable is larger\n');
  }
  return copy;
}

/** What pkg's types leave out of Node's SEA configuration. */
const SEA_CONFIG = {
  disableExperimentalSEAWarning: true,
  useSnapshot: false,
  useCodeCache: false,
  // NODE_OPTIONS of a user's shell must not change how a system service runs.
  execArgvExtension: 'none',
};

/** `pkg --sea`, as a function: the command itself passes neither a Node binary nor SEA settings on. */
async function pack(nodePath: string, arch: 'x64' | 'arm64'): Promise<void> {
  const output = `${executable}.new`;
  const nodeRange = `node${process.versions.node}`;
  const target = { platform: 'linux', arch, nodeRange, output } as const;
  await pkg.default(bundle, { targets: [target], nodePath, seaConfig: SEA_CONFIG });
  // A rename, so that a running dist/spegel is replaced and not "text file busy".
  await rename(output, executable);
}

const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
await mkdir(dist, { recursive: true });
await bundleSources();
const node = await strippedNode(arch);
try {
  await pack(node, arch);
} finally {
  await rm(node, { force: true });
}
const size = (readFileSync(executable).byteLength / 1e6).toFixed(0);
process.stderr.write(
  `build: dist/spegel (${size} MB, linux ${arch}, Node ${process.versions.node})\n`,
);
