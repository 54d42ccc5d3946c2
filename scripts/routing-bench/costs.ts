import type { Costs } from './count.ts';

/**
 * What one thing costs, measured on 2026-11-23 on AMD EPYC, 2 cores that others used, too: good for
 * a factor of 1.5.
 * - memory and idle: a node with 10 and with 200 connections of peers that say nothing (star.ts),
 * the dearest of four runs: 89 and 124 MB,
 *   0.0025 and 0.0061 CPU-s per second; `PINGED` is of 50 nodes in a full mesh with the library's
 * monitor, 0.0071;
 * - records: 5,000 keys to 49 peers, 100,000 records in full batches: 0.52 CPU-s, and 0.022 for
 * 2,041 of them at one
 *   receiver; the same as a refresh, 700 times on a stream that had to be opened: 0.37 CPU-s more;
 * - connections: 50 nodes that join, 1,225 connections: 16 CPU-s besides the start of the
 * processes;
 * - the table: 40 us for the 20 closest of 5,000.
 */
export const MEASURED: Costs = {
  baseMb: 88,
  mbPerPeer: 0.18,
  bytesPerRecordHeld: 210,
  idleCpu: 0.0025,
  idleCpuPerPeer: 19e-6,
  sendRecordCpu: 5.2e-6,
  receiveRecordCpu: 11e-6,
  openCpu: 0.5e-3,
  bytesPerRecord: 95,
  bytesPerOpen: 250,
  connectCpu: 6.5e-3,
  scanCpuPerPeer: 8e-9,
};

/** As it was with libp2p's own monitor, which opens a stream for each ping. */
export const PINGED: Costs = { ...MEASURED, idleCpuPerPeer: 90e-6 };
