/**
 * Writes the peer cache of the directory that is its argument over and over, to be killed on the
 * way.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '../../lib/base/log.ts';
import { PeerCache } from '../../lib/bootstrap/peer-cache.ts';
import { IDS } from './ids.ts';

const dir = process.argv[2] ?? '';
const cache = new PeerCache({ log: silentLogger }, { dataDir: dir, settleMs: 0, gapMs: 0 });
let port = 0;
let isTold = false;
setInterval(() => {
  port = (port % 60_000) + 1;
  cache.remember(
    IDS.slice(0, 2).map((id, index) => ({ id, addresses: [`/ip4/10.0.0.${index}/tcp/${port}`] })),
  );
  if (isTold || !existsSync(join(dir, 'peers.json'))) return;
  isTold = true;
  process.stdout.write('writing\n');
}, 1);
