import { resolve } from 'node:path';

/**
 * `dist/spegel`, or another build that `SPEGEL_BIN` names. A test that imports it needs `make
 * build`.
 */
export const EXECUTABLE = process.env.SPEGEL_BIN ?? resolve(import.meta.dirname, '../dist/spegel');
