import { statSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from './package/bundle.ts';
import { type Arch, nodeBinary } from './package/node-binary.ts';
import { pack } from './package/pack.ts';

/** Builds dist/spegel, one executable for this machine. */
const root = join(import.meta.dirname, '..');
const work = join(root, 'dist', '.work');
const executable = join(root, 'dist', 'spegel');

const arch: Arch = process.arch === 'arm64' ? 'arm64' : 'x64';
const source = join(root, 'dist', 'spegel.cjs');
await bundle(root, source);
const node = await nodeBinary(root, arch);
await pack({ root, bundle: source, node, arch }, executable, work);
const size = (statSync(executable).size / 1e6).toFixed(0);
process.stderr.write(
  `build: dist/spegel (${size} MB, linux ${arch}, Node ${process.versions.node})\n`,
);
