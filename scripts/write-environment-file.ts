/** Writes systemd/spegel.env, which stands in the repository and is made of the option tables. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { environmentFile } from '../cmd/installed/environment-file.ts';

writeFileSync(join(import.meta.dirname, '../systemd/spegel.env'), environmentFile());
