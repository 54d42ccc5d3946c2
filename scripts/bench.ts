import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { benchContainerd } from './bench/containerd.ts';
import { benchDataPath } from './bench/data-path.ts';
import { benchEventLoop } from './bench/event-loop.ts';
import { benchExecutable } from './bench/executable.ts';
import { benchInflight } from './bench/inflight.ts';
import { benchInflightSimulated } from './bench/inflight-simulated.ts';
import { benchLocal } from './bench/local.ts';
import { benchManySources } from './bench/many-sources.ts';
import { benchMemory } from './bench/memory.ts';
import { benchPulls } from './bench/pulls.ts';
import { benchRanges } from './bench/ranges.ts';
import { benchSixHosts } from './bench/six-hosts.ts';
import { benchSmallBlobs } from './bench/small-blobs.ts';
import { benchSoak } from './bench/soak.ts';
import { printTable, type Row } from './bench/table.ts';
import { benchRouting } from './bench-routing.ts';

/**
 * Measures and prints a table for the README. Every row is a ratio of two things measured in the
 * same run, alternating, medians: the machines are noisy and one number alone says nothing.
 */
const rows: Row[] = [
  ...(await benchLocal()),
  ...(await benchExecutable()),
  ...(await benchDataPath()),
  ...(await benchPulls()),
  ...(await benchRanges()),
  ...(await benchEventLoop()),
  ...(await benchSmallBlobs()),
  ...(await benchMemory()),
  ...(await benchSixHosts()),
  ...(await benchRouting()),
  ...(await benchContainerd()),
  ...(await benchInflight()),
  ...(await benchInflightSimulated()),
  ...(await benchManySources()),
  ...(await benchSoak()),
];
const [cpu] = cpus();
const kernel = execFileSync('uname', ['-sr'], { encoding: 'utf8' }).trim();
process.stdout.write(`\n${cpu?.model ?? 'unknown CPU'}, ${cpus().length} cores, ${kernel}\n\n`);
printTable(rows);
